import { Signal } from '@lumino/signaling';
import { Panel, Widget } from '@lumino/widgets';

import { eventually, FakeApi, service } from '../../__tests__/fakes';
import { ServicesModel } from '../../model/services';
import { CommandIDs } from '../../parts';
import { panel } from '../panel';
import { running } from '../running';
import { services } from '../services';

let unloaded = false;
const made: Array<Widget & { showCalls: boolean }> = [];

jest.mock('../../panel', () => ({
  get ServicesPanel() {
    if (unloaded) {
      throw new Error('Loading chunk 7 failed.');
    }
    const { Widget: Base } = jest.requireActual('@lumino/widgets');
    return class extends Base {
      constructor() {
        super();
        made.push(this as any);
      }
    };
  }
}));

let fake: FakeApi;
let model: ServicesModel;
let executed: unknown[];
let areas: Record<string, Widget[]>;
let app: any;

beforeEach(() => {
  fake = new FakeApi();
  fake.services = [
    service('words'),
    service('off', { state: 'stopped', replicas: { want: 0, ready: 0, total: 0 } })
  ];
  model = new ServicesModel({ api: fake.api, isVisible: () => true, stream: { delay: () => 5 } });
  executed = [];
  made.length = 0;
  unloaded = false;
  areas = { left: [], right: [], main: [] };
  app = {
    contextMenu: { menu: null }, // the panel that is made here looks at none
    commands: { execute: async (...all: unknown[]) => void executed.push(all) },
    shell: {
      add: (widget: Widget, area: string) => areas[area].push(widget),
      widgets: (area: string) => areas[area]
    },
    restored: Promise.resolve()
  };
});

afterEach(() => {
  Object.values(areas)
    .flat()
    .forEach(each => each.dispose());
  model.dispose();
});

/** Settings of one word, which somebody changes. */
function settings(name: string, first: unknown): { registry: any; set: (value: unknown) => void } {
  let composite = first;
  const found: any = { get: (asked: string) => ({ composite: asked === name ? composite : undefined }) };
  const changed = new Signal<object, void>(found);
  found.changed = changed;
  const set = (value: unknown) => {
    composite = value;
    changed.emit();
  };
  return { registry: { load: async () => found }, set };
}

const settled = () => new Promise(resolve => setTimeout(resolve, 5));

describe('the panel’s place', () => {
  it('shows the panel, with or without pictures of calls as the settings say', async () => {
    const { registry, set } = settings('showCalls', false);
    void panel.activate(app, { model }, null, registry);
    await settled();
    const [place] = areas.left;
    expect(model.active).toBe(false);
    Widget.attach(place, document.body);
    await eventually(() => made.length === 1, 'the panel');
    expect([made[0].showCalls, model.active]).toEqual([false, true]);
    set(true);
    expect(made[0].showCalls).toBe(true);
    place.hide();
    expect(model.active).toBe(false);
    place.show();
    await settled();
    expect(made.length).toBe(1);
  });

  it('says that the panel was not sent, and gets it when it is asked to again', async () => {
    const warned = jest.spyOn(console, 'warn').mockImplementation(() => undefined);
    unloaded = true;
    void panel.activate(app, { model }, null, null);
    const [place] = areas.left;
    Widget.attach(place, document.body);
    const again = () => [...place.node.querySelectorAll('button')];
    await eventually(() => again().length === 1, 'the button');
    expect(place.node.querySelector('[role="alert"]')!.textContent).toBe(
      'This part of the panel could not be loaded: the Jupyter server did not send it.Try Again'
    );
    again()[0].click();
    await settled();
    expect(again().length).toBe(1); // and not two of them
    unloaded = false;
    again()[0].click();
    await eventually(() => made.length === 1, 'the panel');
    expect([again().length, made[0].parent]).toEqual([0, place]);
    warned.mockRestore();
  });
});

describe('the section among what runs', () => {
  it('is left out where nothing lists what runs', () => {
    expect(() => running.activate(app, { model }, null)).not.toThrow();
  });

  it.each(['left', 'main'])('is kept current while the list can be seen, in the area %s', async area => {
    const list = new Panel();
    list.addClass('jp-RunningSessions');
    const around = new Panel();
    around.addWidget(list);
    list.hide();
    areas[area].push(around);
    Widget.attach(around, document.body);
    const add = jest.fn();
    void running.activate(app, { model }, { add });
    await settled();
    expect(model.active).toBe(false);
    list.show();
    expect(model.active).toBe(true);
    await eventually(() => model.status === 'ready', 'the list');
    const [section] = add.mock.calls[0];
    expect(section.running().map((each: any) => [each.label(), each.detail()])).toEqual([['words', '1/1']]);
    section.running()[0].open();
    section.shutdownAll();
    expect(executed).toEqual([
      [CommandIDs.open, { key: 'ann/words' }],
      [CommandIDs.stop, { key: 'ann/words' }]
    ]);
    around.hide();
    expect(model.active).toBe(false);
  });
});

it('asks as often as the settings say where there is no event stream', async () => {
  const { registry, set } = settings('pollInterval', 7);
  const serverSettings = { baseUrl: 'http://localhost/' };
  const found: any = services.activate({ serviceManager: { serverSettings } } as any, null, registry);
  await settled();
  expect(found.model.pollInterval).toBe(7000);
  set(9);
  expect(found.model.pollInterval).toBe(9000);
  found.model.dispose();
});
