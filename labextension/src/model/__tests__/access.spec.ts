import type { Shared } from '../../api';
import { eventually, FakeApi, service, unreachable } from '../../__tests__/fakes';
import { ServicesModel } from '../services';

const SHARED: Shared = {
  owner: 'bob',
  name: 'chat',
  state: 'ready',
  endpoint: 'http://127.0.0.1:1/endpoints/bob/chat/',
  page: null,
  role: 'caller'
};

let fake: FakeApi;
let model: ServicesModel;
let shares: string[];
let origins: readonly string[];

beforeEach(() => {
  fake = new FakeApi();
  fake.services = [service('words')];
  shares = [];
  origins = [];
  const api = fake.api as any;
  api.gateway = async () => ({ people: true });
  api.access = async (key: string, user: string | null) => {
    fake.calls.push(`access ${key} ${user}`);
    if (fake.refusals.access) {
      throw fake.refusals.access;
    }
    return {
      shares: [...shares],
      origins,
      person: user && { name: user, role: null, perhaps: null, why: [] }
    };
  };
  api.uses = async () => ({ uses: [], today: '2026-11-30', complete: true });
  api.share = async (_: string, kind: string, name: string) => {
    shares.push(`${kind}/${name}`);
    return { notices: name === 'bob' ? ['The limits of the class are bob’s no more.'] : [] };
  };
  api.unshare = async (_: string, kind: string, name: string) =>
    void (shares = shares.filter(each => each !== `${kind}/${name}`));
  api.allowOrigins = async (_: string, wanted: readonly string[]) => void (origins = wanted);
  model = new ServicesModel({ api, isVisible: () => true, stream: { delay: () => 5 } });
});

afterEach(() => model.dispose());

describe('with whom a service is shared', () => {
  it('is asked for when it is shown, and again after each change, by whomever', async () => {
    const found = model.open('ann/words');
    const { access } = found;
    found.watch();
    await eventually(() => model.connected === 'stream', 'connected');
    expect(fake.asked('access')).toBe(0);
    access.shown = true;
    await eventually(() => access.access !== null, 'it is known');
    expect(access.people).toBe(true);
    const told: (readonly string[])[] = [];
    model.noticed.connect((_, { sentences }) => void told.push(sentences));
    await access.share('group', 'class', { role: 'caller', limits: null });
    await access.unshare('group', 'class');
    expect(told).toEqual([]);
    await access.share('user', 'bob', { role: 'caller', limits: null });
    expect(access.access!.shares).toEqual(['user/bob']);
    expect(told).toEqual([['The limits of the class are bob’s no more.']]);
    await access.unshare('user', 'bob');
    expect(access.access!.shares).toEqual([]);
    shares = ['group/class'];
    const event = { id: 1, at: 1, message: '', replica: null, details: {} };
    fake.events.say({
      kind: 'event',
      event: { ...event, service: 'ann/words', kind: 'service.shared' } as any
    });
    await eventually(() => access.access!.shares.length === 1, 'what somebody else has shared');
    origins = ['https://app.example.org'];
    fake.events.say({
      kind: 'event',
      event: { ...event, id: 2, service: 'ann/words', kind: 'service.origins' } as any
    });
    await eventually(() => access.access!.origins.length === 1, 'whose pages somebody else lets call it');
    await access.allowOrigins([]);
    expect(access.access!.origins).toEqual([]);
    found.dispose();
  });

  it('keeps the person that was asked about, and what was known when it cannot be had', async () => {
    const found = model.open('ann/words');
    const { access } = found;
    await access.ask('bob');
    await access.share('user', 'carol', { role: 'caller', limits: null });
    expect(access.access!.person!.name).toBe('bob');
    fake.refusals.access = unreachable();
    await access.refresh();
    expect([access.problem, access.access!.shares]).toEqual([
      'The Jupyter server does not answer.',
      ['user/carol']
    ]);
    await expect(access.ask('dave')).rejects.toThrow('does not answer');
    found.dispose();
  });

  it('tells of the person that was asked about, also where it is looked at anew meanwhile', async () => {
    const found = model.open('ann/words');
    await Promise.all([found.access.ask('bob'), found.access.refresh()]);
    expect(found.access.access!.person!.name).toBe('bob');
    found.dispose();
  });

  it('is told as the question found it that was asked last, and a refusal of an older one counts no more', async () => {
    const found = model.open('ann/words');
    const { access } = found;
    const answers: { answer: (names: string[]) => void; refuse: () => void }[] = [];
    (model.api as any).access = () =>
      new Promise((resolve, reject) =>
        answers.push({
          answer: names => resolve({ shares: names }),
          refuse: () => reject(unreachable())
        })
      );
    const looks = [access.refresh(), access.refresh(), access.refresh()];
    answers[2].answer(['new']);
    await looks[2];
    answers[0].answer(['old']);
    answers[1].refuse();
    await Promise.all(looks);
    expect([access.access!.shares, access.problem]).toEqual([['new'], null]);
    found.dispose();
  });
});

describe('what is shared with the user', () => {
  const keys = () => model.shared.map(each => `${each.owner}/${each.name}`).join();

  it('is as the list and the stream say', async () => {
    fake.shared = [SHARED];
    model.watch();
    await eventually(() => keys() === 'bob/chat', 'the list');
    fake.events.say({ kind: 'shared', shared: { ...SHARED, owner: 'al' } });
    await eventually(() => keys() === 'al/chat,bob/chat', 'another');
    fake.events.say({ kind: 'removed', key: 'al/chat' });
    await eventually(() => keys() === 'bob/chat', 'it is shared no more');
    fake.events.say({ kind: 'service', service: service('chat', { owner: 'bob', role: 'viewer' }) });
    await eventually(() => keys() === '', 'one may look into it now');
    expect(model.service('bob/chat')!.role).toBe('viewer');
  });

  it('does not come back with a list that was made before it went', async () => {
    fake.shared = [SHARED];
    model.watch();
    await eventually(() => keys() === 'bob/chat', 'the list');
    let go: () => void = none;
    fake.late = new Promise(resolve => (go = resolve));
    const before = fake.asked('list');
    fake.events.say({ kind: 'resync' });
    await eventually(() => fake.asked('list') === before + 1, 'it is asked for');
    fake.shared = [];
    fake.events.say({ kind: 'removed', key: 'bob/chat' });
    await eventually(() => keys() === '', 'it is gone');
    go();
    await eventually(() => fake.asked('list') === before + 2, 'it is asked for again');
    await new Promise(resolve => setTimeout(resolve, 20));
    expect(keys()).toBe('');
  });

  it('has tokens that only the owner is told of', async () => {
    fake.services = [service('words', { role: 'viewer' })];
    const found = model.open('ann/words');
    await found.refresh();
    expect([found.problem, found.tokens, fake.asked('tokens')]).toEqual([null, [], 0]);
    found.dispose();
  });
});

const none = () => undefined;
