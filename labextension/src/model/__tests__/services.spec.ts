import { ApiError } from '../../api';
import { eventually, FakeApi, noRoute, service, unreachable } from '../../__tests__/fakes';
import { ServicesModel } from '../services';

const stream = { delay: () => 5, silence: 5000, patience: 5000 };

function made(fake = new FakeApi(), isVisible = () => true): { fake: FakeApi; model: ServicesModel } {
  return { fake, model: new ServicesModel({ api: fake.api, isVisible, stream }) };
}

const names = (model: ServicesModel) => model.services.map(each => each.name);

describe('the list of services', () => {
  it('asks nothing before somebody looks, and nothing after the last one has gone', async () => {
    const { fake, model } = made();
    await new Promise(resolve => setTimeout(resolve, 20));
    expect(fake.calls).toEqual([]);
    expect(model.status).toBe('loading');
    const first = model.watch();
    const second = model.watch();
    await eventually(() => model.status === 'ready', 'ready');
    first.dispose();
    expect(fake.events.closed).toBe(0);
    second.dispose();
    await eventually(() => fake.events.closed === 1, 'the stream is closed');
    const before = fake.calls.length;
    await new Promise(resolve => setTimeout(resolve, 50));
    expect(fake.calls.length).toBe(before);
    model.dispose();
  });

  it('asks nothing while the page is hidden', async () => {
    let visible = true;
    const { fake, model } = made(undefined, () => visible);
    model.watch();
    await eventually(() => model.connected === 'stream', 'connected');
    visible = false;
    model.visibilityChanged();
    await eventually(() => fake.events.closed === 1, 'the stream is closed');
    const before = fake.calls.length;
    await new Promise(resolve => setTimeout(resolve, 50));
    expect(fake.calls.length).toBe(before);
    visible = true;
    model.visibilityChanged();
    await eventually(
      () => model.connected === 'stream' && fake.calls.length > before,
      'connected, and listed again'
    );
    model.dispose();
  });

  it('follows what the stream says', async () => {
    const { fake, model } = made();
    fake.services = [service('b')];
    model.watch();
    await eventually(() => names(model).join() === 'b', 'the list');
    fake.events.say({ kind: 'service', service: service('a', { state: 'starting' }) });
    await eventually(() => names(model).join() === 'a,b', 'a new one, in order');
    fake.events.say({ kind: 'removed', key: 'ann/b' });
    await eventually(() => names(model).join() === 'a', 'one less');
    fake.services = [service('c')];
    fake.events.say({ kind: 'resync' });
    await eventually(() => names(model).join() === 'c', 'listed again');
    expect(fake.events.opened).toBe(1);
    model.dispose();
  });

  it('polls while the stream does not come through, and no longer when it does', async () => {
    const { fake, model } = made();
    fake.events.refusal = unreachable();
    model.pollInterval = 10;
    model.watch();
    await eventually(() => model.connected === 'polling' && fake.asked('list') > 3, 'polling');
    fake.services = [service('a')];
    await eventually(() => names(model).join() === 'a', 'what is new is seen');
    fake.events.refusal = null;
    await eventually(() => model.connected === 'stream', 'the stream');
    await new Promise(resolve => setTimeout(resolve, 30));
    const before = fake.asked('list');
    await new Promise(resolve => setTimeout(resolve, 60));
    expect(fake.asked('list')).toBe(before);
    model.dispose();
  });

  it('keeps what it has when the server goes, says so, and comes back by itself', async () => {
    const { fake, model } = made();
    fake.services = [service('a')];
    model.pollInterval = 10;
    model.watch();
    await eventually(() => model.status === 'ready', 'ready');
    fake.refusals = { list: unreachable() };
    fake.events.refusal = unreachable();
    fake.events.fail();
    await eventually(() => model.problem !== null, 'it is said');
    expect(model.status).toBe('ready');
    expect(model.connected).toBe('no');
    expect(names(model)).toEqual(['a']);
    fake.refusals = {};
    fake.events.refusal = null;
    await eventually(() => model.problem === null && model.connected === 'stream', 'all is well again');
    model.dispose();
  });

  it('tells a server without model services from one that is too old, and from one that fails', async () => {
    const missing = made();
    missing.fake.refusals = { list: noRoute(), site: noRoute(), offer: noRoute() };
    missing.fake.events.refusal = noRoute();
    missing.model.watch();
    await eventually(() => missing.model.status === 'missing', 'missing');
    expect(missing.model.problem).toMatch('install jupyter-model-service');
    missing.model.dispose();

    const old = made();
    old.fake.refusals = { site: noRoute(), offer: noRoute() };
    old.model.watch();
    await eventually(() => old.model.status === 'too-old', 'too old');
    expect(old.model.problem).toMatch('update jupyter-model-service');
    old.model.dispose();

    const failing = made();
    failing.fake.refusals = { list: new ApiError('The gateway cannot be started.', 503, 'unavailable') };
    failing.fake.events.refusal = unreachable();
    failing.model.watch();
    await eventually(() => failing.model.status === 'error', 'error');
    expect(failing.model.problem).toBe('The gateway cannot be started.');
    failing.model.dispose();
  });

  it('shows a scale at once, and of many clicks sends the first and the last', async () => {
    const { fake, model } = made();
    fake.services = [service('a')];
    model.watch();
    await eventually(() => model.status === 'ready', 'ready');
    let release: () => void = () => undefined;
    fake.held = new Promise(resolve => (release = resolve));
    const clicks = [2, 3, 4].map(replicas => model.scale('ann/a', replicas));
    expect(model.wanted('ann/a')).toBe(4);
    expect(model.pending('ann/a')).toBe('Scaling to 2 replicas');
    release();
    await Promise.all(clicks);
    expect(fake.calls.filter(each => each.startsWith('scale '))).toEqual(['scale ann/a 2', 'scale ann/a 4']);
    expect(model.pending('ann/a')).toBeNull();
    expect(model.service('ann/a')?.replicas.want).toBe(4);
    model.dispose();
  });

  it('keeps no service whose end came before the answer to its deletion', async () => {
    const { fake, model } = made();
    fake.services = [service('a'), service('b')];
    model.watch();
    await eventually(() => names(model).join() === 'a,b', 'the list');
    let release: () => void = () => undefined;
    fake.held = new Promise(resolve => (release = resolve));
    const deletion = model.remove('ann/a');
    fake.services = [service('b')];
    fake.events.say({ kind: 'removed', key: 'ann/a' });
    await eventually(() => names(model).join() === 'b', 'it is gone');
    release();
    await deletion;
    expect(names(model)).toEqual(['b']);
    expect(model.pending('ann/a')).toBeNull();
    model.dispose();
  });

  it('shows nothing that is older than what the stream has said, of a list that is late', async () => {
    const { fake, model } = made();
    fake.services = [service('a'), service('b')];
    model.watch();
    await eventually(() => names(model).join() === 'a,b', 'the list');
    let release: () => void = () => undefined;
    fake.late = new Promise(resolve => (release = resolve));
    const refresh = model.refresh();
    await eventually(() => fake.asked('list') > 1, 'it is asked for');
    fake.events.say({ kind: 'removed', key: 'ann/a' });
    fake.events.say({ kind: 'service', service: service('c') });
    await eventually(() => names(model).join() === 'b,c', 'what the stream says');
    release();
    await refresh;
    expect(names(model)).toEqual(['b', 'c']);
    model.dispose();
  });

  it('looks again when what it shows is not there any more', async () => {
    const { fake, model } = made();
    fake.services = [service('a')];
    model.watch();
    await eventually(() => model.connected === 'stream' && names(model).join() === 'a', 'the list');
    fake.services = [];
    await expect(model.remove('ann/a')).rejects.toThrow('There is no service ann/a.');
    await eventually(() => names(model).length === 0, 'it is shown no more');
    model.dispose();
  });

  it('tells whoever asked that it was refused, and shows what there is', async () => {
    const { fake, model } = made();
    fake.services = [service('a')];
    model.watch();
    await eventually(() => model.status === 'ready', 'ready');
    fake.refusals = { scaled: new ApiError('There is no room for 9 replicas.', 409, 'conflict') };
    await expect(model.scale('ann/a', 9)).rejects.toThrow('There is no room for 9 replicas.');
    expect(model.wanted('ann/a')).toBe(1);
    expect(model.pending('ann/a')).toBeNull();
    model.dispose();
  });

  it('tells once what a change did besides, of the service and of its autoscaling', async () => {
    const { fake, model } = made();
    fake.services = [service('a')];
    const told: string[] = [];
    model.noticed.connect((_, { key, sentences }) => told.push(`${key}: ${sentences.join(' | ')}`));
    model.watch();
    await eventually(() => model.status === 'ready', 'ready');
    fake.notices = ['The policy ends.', 'A key is unknown.'];
    await model.scale('ann/a', 2);
    expect(told).toEqual(['ann/a: The policy ends. | A key is unknown.']);
    fake.notices = ['The metric is unknown.'];
    const found = model.open('ann/a');
    await found.addRule({} as any);
    fake.notices = [];
    await model.scale('ann/a', 1);
    await model.refresh();
    expect(told.slice(1)).toEqual(['ann/a: The metric is unknown.']);
    found.dispose();
    model.dispose();
  });

  it('asks for the calls of all rows that can be seen at once, and of no others', async () => {
    const { fake, model } = made();
    fake.services = [service('a'), service('b'), service('c')];
    model.watch();
    model.showCalls(['ann/a', 'ann/b']);
    await eventually(() => model.calls('ann/a').length === 2, 'its calls');
    expect(model.calls('ann/a')).toEqual([1, 0]);
    expect(model.calls('ann/b')).toEqual([1, 0]);
    expect(fake.calls.filter(each => each.startsWith('series'))).toEqual([
      'seriesOf ann/a,ann/b calls_per_second'
    ]);
    model.showCalls([]);
    expect(model.calls('ann/a')).toEqual([]);
    model.dispose();
  });

  it('says that what it shows may be old when the list is overdue, and no longer when it has come', async () => {
    const fake = new FakeApi();
    const model = new ServicesModel({ api: fake.api, isVisible: () => true, stream, slow: 20 });
    fake.services = [service('a')];
    let release: () => void = () => undefined;
    fake.late = new Promise(resolve => (release = resolve));
    model.watch();
    await new Promise(resolve => setTimeout(resolve, 60));
    expect([model.status, model.problem]).toEqual(['loading', null]);
    release();
    await eventually(() => model.status === 'ready' && model.connected === 'stream', 'ready');
    fake.late = new Promise(resolve => (release = resolve));
    fake.events.say({ kind: 'resync' });
    await eventually(() => model.problem === 'The Jupyter server is slow to answer.', 'it is said');
    expect(names(model)).toEqual(['a']);
    release();
    await eventually(() => model.problem === null, 'all is well again');
    model.dispose();
  });

  it('looks again by itself when only the list could not be had', async () => {
    const { fake, model } = made();
    fake.refusals = { list: unreachable() };
    model.pollInterval = 10;
    model.watch();
    await eventually(() => model.connected === 'stream' && model.problem !== null, 'the stream, and no list');
    fake.refusals = {};
    await eventually(() => model.status === 'ready' && model.problem === null, 'the list');
    expect(fake.events.opened).toBe(1);
    model.dispose();
  });

  it.each(['the browser says that there is a network', 'anything else is answered'])(
    'comes back at once after an outage when %s',
    async reason => {
      const fake = new FakeApi();
      const slowly = { ...stream, delay: () => 60000 };
      const model = new ServicesModel({ api: fake.api, isVisible: () => true, stream: slowly });
      fake.services = [service('a')];
      model.pollInterval = 60000;
      model.watch();
      await eventually(() => model.connected === 'stream' && model.status === 'ready', 'ready');
      fake.refusals = { list: unreachable() };
      fake.events.refusal = unreachable();
      fake.events.fail();
      await eventually(() => model.problem !== null, 'it is said');
      fake.refusals = {};
      fake.events.refusal = null;
      await new Promise(resolve => setTimeout(resolve, 50));
      expect(model.problem).not.toBeNull();
      if (reason.startsWith('the browser')) {
        window.dispatchEvent(new Event('online'));
      } else {
        await model.refreshOffer();
      }
      await eventually(() => model.problem === null && model.connected === 'stream', 'all is well again');
      model.dispose();
    }
  );

  it('goes by the clock of the server', async () => {
    const { fake, model } = made();
    fake.services = [service('a')];
    fake.ahead = -3600;
    expect(Math.abs(model.now - Date.now() / 1000 + 3600)).toBeLessThan(5);
    const found = model.open('ann/a');
    found.watch();
    model.showCalls(['ann/a']);
    await eventually(() => found.series !== null && model.calls('ann/a').length > 0, 'the figures');
    expect(fake.since.length).toBeGreaterThan(1);
    for (const since of fake.since) {
      expect(Math.abs(since - (Date.now() / 1000 - 3600 - 900))).toBeLessThan(5);
    }
    found.dispose();
    model.dispose();
  });
});

describe('a service in view', () => {
  it('is shared by all who open it, and ends with the last of them', async () => {
    const { fake, model } = made();
    fake.services = [service('a')];
    const one = model.open('ann/a');
    expect(model.open('ann/a')).toBe(one);
    const watch = one.watch();
    await eventually(() => one.service !== null && one.series !== null, 'it is known, with its figures');
    one.dispose();
    expect(one.isDisposed).toBe(false);
    watch.dispose();
    one.dispose();
    expect(one.isDisposed).toBe(true);
    await eventually(() => fake.events.closed === 1, 'nobody looks any more');
    model.dispose();
  });

  it('tells that it is gone, or never was', async () => {
    const { fake, model } = made();
    fake.services = [service('a')];
    const there = model.open('ann/a');
    const never = model.open('ann/b');
    there.watch();
    never.watch();
    await eventually(() => there.service !== null && never.gone, 'one is there, one is not');
    fake.services = [];
    fake.events.say({ kind: 'removed', key: 'ann/a' });
    await eventually(() => there.gone && there.service === null, 'gone');
    model.dispose();
  });

  it('is not as a late answer says when the stream has told more of it', async () => {
    const { fake, model } = made();
    fake.services = [service('a')];
    const found = model.open('ann/a');
    found.watch();
    await eventually(() => found.tokens !== null, 'it is known');
    let release: () => void = () => undefined;
    fake.late = new Promise(resolve => (release = resolve));
    const refresh = found.refresh();
    await eventually(() => fake.asked('get') > 1, 'it is asked for');
    fake.events.say({ kind: 'service', service: service('a', { state: 'stopped' }) });
    await eventually(() => found.service?.state === 'stopped', 'what the stream says');
    release();
    await refresh;
    expect(found.service?.state).toBe('stopped');
    fake.late = new Promise(resolve => (release = resolve));
    const second = found.refresh();
    await eventually(() => fake.asked('get') > 2, 'it is asked for');
    fake.events.say({ kind: 'removed', key: 'ann/a' });
    await eventually(() => found.gone, 'gone');
    release();
    await second;
    expect([found.gone, found.service]).toEqual([true, null]);
    model.dispose();
  });

  it('reads the log only while it is shown', async () => {
    const { fake, model } = made();
    fake.services = [service('a')];
    const found = model.open('ann/a');
    found.watch();
    await eventually(() => found.service !== null, 'it is known');
    expect(fake.asked('logs')).toBe(0);
    found.logs.shown = true;
    await eventually(() => found.logs.lines.length === 1, 'its lines');
    expect(found.logs.replica).toBe('r-1');
    found.dispose();
    model.dispose();
  });
});
