import { eventually, FakeApi, service, unreachable } from '../../__tests__/fakes';
import { ServicesModel } from '../services';
import type { ServiceModel } from '../service';

const EVENT = { at: 1, kind: 'scaled', message: 'to 2', level: 'info', replica: null };

let fake: FakeApi;
let model: ServicesModel;
let found: ServiceModel;

beforeEach(() => {
  fake = new FakeApi();
  fake.services = [service('a'), service('b')];
  model = new ServicesModel({ api: fake.api, stream: { delay: () => 5 } });
  found = model.open('ann/a');
});

afterEach(() => {
  found.dispose();
  model.dispose();
  hide(false);
  jest.useRealTimers();
});

/** As the browser tells it. */
function hide(hidden: boolean): void {
  Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event('visibilitychange'));
}

const event = (id: number, of = 'ann/a') =>
  fake.events.say({ kind: 'event', event: { ...EVENT, id, service: of } as any });

it('hands out the token that was made, and forgets one that was revoked, when their list cannot be had', async () => {
  let tokens: any[] = [{ id: 't-1' }];
  const api = model.api as any;
  api.tokens = async () => {
    if (fake.refusals.tokens) {
      throw fake.refusals.tokens;
    }
    return tokens;
  };
  api.generateToken = async () => ({ id: 't-2', token: 'jms_once' });
  api.revokeToken = async () => undefined;
  found.watch();
  await eventually(() => found.tokens?.length === 1, 'the tokens');
  fake.refusals.tokens = unreachable();
  expect(await found.generateToken({ name: 'ci' } as any)).toEqual({ id: 't-2', token: 'jms_once' });
  expect(found.problem).toBe('The Jupyter server does not answer.');
  await found.revokeToken('t-1');
  expect(found.tokens).toEqual([]);
  fake.refusals = {};
  tokens = [{ id: 't-2' }];
  await found.refresh();
  expect([found.tokens, found.problem]).toEqual([tokens, null]);
});

it('tells what the gateway says of a token that was changed', async () => {
  const notices = ['PSOT is no usual method: was POST meant?'];
  (model.api as any).changeToken = async () => ({ id: 't-1', notices });
  const told: unknown[] = [];
  model.noticed.connect((_, { key, sentences }) => void told.push([key, sentences]));
  await found.changeToken('t-1', { methods: ['PSOT'] } as any);
  expect(told).toEqual([['ann/a', notices]]);
});

it('has each event of its own once, and none of other services', async () => {
  found.watch();
  await eventually(() => found.tokens !== null && model.connected === 'stream', 'it is known');
  for (const id of [3, 4, 4, 3]) {
    event(id);
  }
  event(5, 'ann/b');
  event(6);
  await eventually(() => found.events.some(each => each.id === 6), 'the last one');
  expect(found.events.map(each => each.id)).toEqual([3, 4, 6]);
});

it('asks nothing for half a minute while the page is hidden, with log, figures and small pictures shown', async () => {
  jest.useFakeTimers({ advanceTimers: 20 });
  found.watch();
  found.logs.shown = true;
  model.showCalls(['ann/a', 'ann/b']);
  await eventually(() => found.series !== null && found.logs.lines.length > 0, 'all of it');
  const going = fake.calls.length;
  await jest.advanceTimersByTimeAsync(30000);
  for (const each of ['logs', 'series', 'seriesOf']) {
    expect(fake.calls.slice(going).map(call => call.split(' ')[0])).toContain(each);
  }
  hide(true);
  await eventually(() => fake.events.closed === fake.events.opened, 'the stream is closed');
  const opened = fake.events.opened;
  const before = fake.calls.length;
  await jest.advanceTimersByTimeAsync(30000);
  expect(fake.calls.slice(before)).toEqual([]);
  expect(fake.events.opened).toBe(opened);
  hide(false);
  await eventually(() => model.connected === 'stream', 'the stream');
  await jest.advanceTimersByTimeAsync(5000);
  const asked = fake.calls.slice(before).map(call => call.split(' ')[0]);
  expect(asked).toEqual(expect.arrayContaining(['list', 'logs', 'series', 'seriesOf']));
});
