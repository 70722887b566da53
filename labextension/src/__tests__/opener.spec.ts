import { Notification } from '@jupyterlab/apputils';
import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { Widget } from '@lumino/widgets';

import { ServicesModel } from '../model/services';
import { Opener } from '../opener';
import { FakeApi, service } from './fakes';

let unloaded = false;

jest.mock('../deploy', () => ({ createDeploy: () => new (jest.requireActual('@lumino/widgets').Widget)() }));
jest.mock('../view', () => ({
  createView: (options: any) => {
    if (unloaded) {
      throw new Error('Loading chunk 7 failed.');
    }
    return jest.requireActual('../view').createView(options);
  }
}));

let fake: FakeApi;
let model: ServicesModel;
let main: Widget[];
let activated: string[];
let pages: jest.SpyInstance;
let hasLab: boolean;

/** With room for so many in its main area. */
function opener(room = Infinity, confined = room < Infinity): Opener {
  const shell: any = {
    currentWidget: null,
    add: (widget: Widget, area: string) => {
      expect(area).toBe('main');
      if (main.length < room) {
        main.push(widget);
        Widget.attach(widget, document.body);
      }
    },
    activateById: (id: string) => activated.push(id)
  };
  return new Opener(
    {
      model,
      translator: nullTranslator,
      commands: new CommandRegistry(),
      shell,
      documents: null,
      editors: null,
      notebooks: null
    },
    confined
  );
}

const notices = () => Notification.manager.notifications;

beforeEach(() => {
  fake = new FakeApi();
  fake.services = [service('words')];
  hasLab = true;
  const api = Object.assign(fake.api, {
    labUrl: (query: string) => `/base/lab${query}`,
    hasLab: async () => hasLab
  });
  model = new ServicesModel({ api, isVisible: () => true, stream: { delay: () => 5 } });
  main = [];
  activated = [];
  unloaded = false;
  pages = jest.spyOn(window, 'open').mockReturnValue({} as Window);
});

afterEach(() => {
  main.forEach(each => each.dispose());
  model.dispose();
  pages.mockRestore();
  Notification.dismiss();
});

it('makes one view of a service, and brings that to the front the next time', async () => {
  const one = opener();
  const [first, second] = await Promise.all([one.view('ann/words'), one.view('ann/words')]);
  expect(first).toBe(second);
  expect(await one.view('ann/words', 'logs')).toBe(first);
  expect((main[0] as any).content.tab).toBe('logs');
  expect(main.map(each => each.id)).toEqual(['jupyter-model-service:view:ann/words']);
  expect(activated).toEqual(Array(3).fill(main[0].id));
  expect(pages).not.toHaveBeenCalled();
});

it('has JupyterLab open what the page has no room for, and keeps nothing of it', async () => {
  const one = opener(0);
  expect(await one.view('ann/words', 'logs')).toBeNull();
  expect(pages).toHaveBeenLastCalledWith(
    '/base/lab?model-service=open&model-service-key=ann%2Fwords&model-service-tab=logs',
    '_blank'
  );
  await one.deploy('a/words', null);
  expect(pages).toHaveBeenLastCalledWith(
    '/base/lab?model-service=deploy&model-service-path=a%2Fwords',
    '_blank'
  );
  await one.deploy(null, 'ann/words');
  expect(pages).toHaveBeenLastCalledWith(
    '/base/lab?model-service=deploy&model-service-key=ann%2Fwords',
    '_blank'
  );
  await one.console('ann/words');
  expect(pages).toHaveBeenLastCalledWith(
    '/base/lab?model-service=try&model-service-key=ann%2Fwords',
    '_blank'
  );
  expect(await one.view('ann/words', 'logs')).toBeNull(); // made anew, not the one of before
  expect(pages).toHaveBeenCalledTimes(5);
  expect([activated, notices()]).toEqual([[], []]);
});

it('leaves to JupyterLab itself when it shows what is put there: not before the last layout is there', async () => {
  expect(await opener(0, false).view('ann/words')).not.toBeNull();
  expect(pages).not.toHaveBeenCalled();
});

it('says in one sentence that JupyterLab is not there', async () => {
  hasLab = false;
  expect(await opener(0).view('ann/words')).toBeNull();
  expect(pages).not.toHaveBeenCalled();
  expect(notices().map(each => each.message)).toEqual([
    'This page has no room for “words”, and JupyterLab, which has, is not there: install jupyterlab where the Jupyter server runs.'
  ]);
});

it('offers a button where the browser opens no page by itself', async () => {
  pages.mockReturnValue(null);
  await opener(0).view('ann/words');
  const [notice] = notices();
  expect(notice.message).toContain('JupyterLab has');
  pages.mockClear();
  notice.options.actions![0].callback({} as any);
  expect(pages).toHaveBeenCalledWith('/base/lab?model-service=open&model-service-key=ann%2Fwords', '_blank');
});

it('tells that a part was not sent, and opens it when it is asked to again', async () => {
  const warned = jest.spyOn(console, 'warn').mockImplementation(() => undefined);
  const one = opener();
  unloaded = true;
  expect(await one.view('ann/words')).toBeNull();
  const [notice] = notices();
  expect(notice.message).toContain('the Jupyter server did not send it');
  expect(notice.options.actions!.map(each => each.label)).toEqual(['Try Again']);
  unloaded = false;
  expect(main).toEqual([]);
  notice.options.actions![0].callback({} as any);
  while (main.length === 0) {
    await new Promise(resolve => setTimeout(resolve, 5));
  }
  expect(main[0].id).toBe('jupyter-model-service:view:ann/words');
  warned.mockRestore();
});
