import { MessageLoop } from '@lumino/messaging';
import { Menu } from '@lumino/widgets';

import { eventually, FakeApi, service } from '../../__tests__/fakes';
import { ServicesModel } from '../../model/services';
import { ServicesPanel } from '..';
import { Attached } from './attached';

let attached: Attached;
let fake: FakeApi;
let model: ServicesModel;
let menu: Menu;
let panel: ServicesPanel;

beforeEach(() => {
  attached = new Attached('a', 'b');
  ({ fake, model, menu, panel } = attached);
});

afterEach(() => attached.dispose());

const focused = () => document.activeElement as HTMLElement;

async function entered(): Promise<void> {
  panel.activate();
  MessageLoop.flush();
  model.watch();
  await eventually(() => focused().title === 'Open ann/a', 'the focus in the list');
}

it('hands the focus to the list when that has come', async () => {
  await entered();
});

it('takes no focus that went elsewhere meanwhile', async () => {
  panel.activate();
  MessageLoop.flush();
  expect(focused()).toBe(panel.node);
  focused().blur();
  model.watch();
  await eventually(() => panel.node.querySelector('li') !== null, 'the list');
  expect(focused()).toBe(document.body);
});

it('hands the focus on when the row that had it goes, the last one, too', async () => {
  await entered();
  fake.services = [service('b')];
  fake.events.say({ kind: 'removed', key: 'ann/a' });
  await eventually(() => focused().title === 'Open ann/b', 'the focus in the other row');
  fake.services = [];
  fake.events.say({ kind: 'removed', key: 'ann/b' });
  await eventually(() => focused().textContent === 'New Service', 'the focus on what can be done now');
});

it('has the focus again when the menu of a row closes', async () => {
  await entered();
  const more = panel.node.querySelector<HTMLElement>('[aria-label="More actions for a"]')!;
  more.focus();
  menu.addItem({ type: 'separator' });
  menu.open(0, 0);
  MessageLoop.flush();
  menu.node.focus();
  expect(focused()).toBe(menu.node);
  menu.close();
  expect(focused()).toBe(more);
});
