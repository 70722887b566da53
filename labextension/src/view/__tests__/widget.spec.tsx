import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { MessageLoop } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { eventually, FakeApi, service, unreachable } from '../../__tests__/fakes';
import { ServicesModel } from '../../model/services';
import { ServiceView } from '../widget';
import { POLICY } from './samples';

let fake: FakeApi;
let model: ServicesModel;
let view: ServiceView;

const TOKEN = { id: 't1', name: 'ci', created_at: 1, expires_at: null, last_used_at: null, rules: [] };

beforeEach(() => {
  fake = new FakeApi();
  fake.services = [service('words')];
  model = new ServicesModel({ api: fake.api, isVisible: () => true, stream: { delay: () => 5 } });
  view = new ServiceView({
    key: 'ann/words',
    model,
    translator: nullTranslator,
    commands: new CommandRegistry(),
    shell: {} as any,
    documents: null,
    editors: null,
    notebooks: null
  });
});

afterEach(() => {
  view.dispose();
  model.dispose();
});

const text = () => {
  MessageLoop.flush();
  return view.node.textContent ?? '';
};

it('asks nothing before it is shown, and then shows the service', async () => {
  await new Promise(resolve => setTimeout(resolve, 30));
  expect(fake.calls).toEqual([]);
  Widget.attach(view, document.body);
  await eventually(() => text().includes('1 of 1 ready'), 'the service');
});

it('draws what changes by itself once a second at most, and what is done here at once', async () => {
  Widget.attach(view, document.body);
  await eventually(() => text().includes('1 of 1 ready'), 'the service');
  const drawn = jest.spyOn((view as any)._page, 'render');
  const began = performance.now();
  for (let ready = 2; performance.now() - began < 1500; ready++) {
    fake.events.say({
      kind: 'service',
      service: service('words', { replicas: { want: 999, ready, total: ready } })
    });
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  expect(drawn.mock.calls.length).toBeGreaterThan(0);
  expect(drawn.mock.calls.length).toBeLessThanOrEqual(3);
  view.showTab('share');
  await eventually(() => text().includes('Who can call it'), 'the other tab');
});

it('draws nothing while it is hidden, and what happened meanwhile when it is shown again', async () => {
  Widget.attach(view, document.body);
  await eventually(() => text().includes('1 of 1 ready'), 'the service');
  view.hide();
  const other = model.watch(); // somebody else looks: the list goes on
  const drawn = jest.spyOn((view as any)._page, 'render');
  fake.services = [service('words', { replicas: { want: 7, ready: 7, total: 7 } })];
  fake.events.say({ kind: 'service', service: fake.services[0] });
  await eventually(() => model.service('ann/words')?.replicas.want === 7, 'the model knows');
  await new Promise(resolve => setTimeout(resolve, 1100)); // as long as a drawing may be put off
  MessageLoop.flush();
  expect(drawn).not.toHaveBeenCalled();
  const asked = fake.asked('events');
  view.show();
  await eventually(() => text().includes('7 of 7 ready'), 'the newest');
  expect(fake.asked('events')).toBe(asked + 1);
  other.dispose();
});

it('reads the log only while that is shown', async () => {
  Widget.attach(view, document.body);
  await eventually(() => text().includes('1 of 1 ready'), 'the service');
  expect(fake.asked('logs')).toBe(0);
  view.showTab('logs');
  await eventually(() => text().includes('one'), 'the log');
  view.showTab('events');
  const asked = fake.asked('logs');
  await new Promise(resolve => setTimeout(resolve, 1200));
  expect(fake.asked('logs')).toBe(asked);
});

it('asks for decisions only while they are shown', async () => {
  fake.services = [service('words', { autoscaling: POLICY })];
  const decisions = jest.fn(async () => [
    {
      at: 1,
      since: 1,
      before: 1,
      count: 2,
      changed: true,
      reason: 'up to 2',
      wishes: [],
      measured: {},
      bounds: null,
      bound: null
    }
  ]);
  (model.api as any).decisions = decisions;
  Widget.attach(view, document.body);
  await eventually(() => text().includes('1 of 1 ready'), 'the service');
  await eventually(() => fake.asked('tokens') > 0, 'the history');
  expect(decisions).not.toHaveBeenCalled();
  view.showTab('decisions');
  await eventually(() => text().includes('up to 2'), 'the decision');
});

it('says that the service is gone', async () => {
  Widget.attach(view, document.body);
  await eventually(() => text().includes('1 of 1 ready'), 'the service');
  fake.services = [];
  fake.events.say({ kind: 'removed', key: 'ann/words' });
  await eventually(() => text().includes('There is no service ann/words any more.'), 'that it is gone');
});

it('tells which tab is shown, for the next time', () => {
  const told: string[] = [];
  view.tabChanged.connect((_, tab) => told.push(tab));
  view.showTab('logs');
  view.showTab('logs');
  view.showTab('a tab of the future' as any);
  expect(told).toEqual(['logs', 'overview']);
});

it('goes back to a former revision only when that is confirmed', async () => {
  const rollback = jest.fn(async () => service('words'));
  (model.api as any).rollback = rollback;
  Widget.attach(view, document.body);
  await eventually(() => text().includes('1 of 1 ready'), 'the service');
  const answered = async (name: string) => {
    const done = (view as any)._actions.onRollback(1);
    const button = () =>
      [...document.querySelectorAll<HTMLElement>('.jp-Dialog button')].find(
        each => each.textContent === name
      );
    await eventually(() => button() !== undefined, 'the question');
    expect(rollback).not.toHaveBeenCalled();
    button()!.click();
    await done;
  };
  await answered('Cancel');
  expect(rollback).not.toHaveBeenCalled();
  await answered('Roll Back');
  expect(rollback).toHaveBeenCalledWith('ann/words', 1);
});

it('shows a token no longer that was revoked', async () => {
  const api = model.api as any;
  const listed = { id: 't-1', name: 'ci', created_at: 1, expires_at: null, last_used_at: null, rules: [] };
  let tokens: any[] = [];
  api.tokens = async () => tokens;
  api.generateToken = async () => {
    tokens = [listed];
    return { ...listed, token: 'jms_once' };
  };
  api.revokeToken = async () => {
    tokens = [];
  };
  Widget.attach(view, document.body);
  view.showTab('tokens');
  await eventually(() => text().includes('1 of 1 ready'), 'the service');
  await (view as any)._actions.onMakeToken({ name: 'ci', expires_in: null });
  await eventually(() => text().includes('jms_once'), 'the token');
  const revoked = (view as any)._actions.onRevoke(listed);
  const button = () =>
    [...document.querySelectorAll<HTMLElement>('.jp-Dialog button')].find(
      each => each.textContent === 'Revoke'
    );
  await eventually(() => button() !== undefined, 'the question');
  button()!.click();
  await revoked;
  await eventually(() => !text().includes('jms_once'), 'no token');
});

it('asks for what happened while there was no event stream when that comes through again', async () => {
  fake.events.refusal = unreachable();
  Widget.attach(view, document.body);
  await eventually(() => text().includes('1 of 1 ready') && model.connected === 'polling', 'polling');
  await eventually(() => fake.asked('events') > 0, 'the events');
  const asked = fake.asked('events');
  fake.events.refusal = null;
  await eventually(() => model.connected === 'stream' && fake.asked('events') > asked, 'what happened');
});

it('forgets a token that was just made when its tab is left, and when the view is hidden', async () => {
  (model.api as any).generateToken = async () => ({ ...TOKEN, token: 'jms_secret' });
  Widget.attach(view, document.body);
  await eventually(() => text().includes('1 of 1 ready'), 'the service');
  const made = async () => {
    view.showTab('tokens');
    await (view as any)._actions.onMakeToken({ name: 'ci', expires_in: null });
    await eventually(() => text().includes('jms_secret'), 'the token');
  };
  await made();
  view.showTab('share');
  await eventually(() => !text().includes('jms_secret'), 'that it is in no hidden tab');
  view.showTab('tokens');
  await eventually(() => text().includes('Make Token'), 'the tab');
  expect(text()).not.toContain('jms_secret');
  await made();
  view.hide();
  await eventually(() => !text().includes('jms_secret'), 'that it is in no hidden view');
});

it('hands the focus to its tabs once they are there, and not when somebody clicks between things', async () => {
  Widget.attach(view, document.body);
  view.activate();
  MessageLoop.flush();
  expect(document.activeElement).toBe(view.node);
  await eventually(() => text() !== '' && document.activeElement?.textContent === 'Overview', 'the focus');
  view.node.focus();
  view.showTab('share');
  await eventually(() => text().includes('Who can call it'), 'the other tab');
  expect(document.activeElement).toBe(view.node);
});
