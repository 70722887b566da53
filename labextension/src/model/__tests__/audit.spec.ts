import type { AuditEntry } from '../../api';
import { eventually, FakeApi, service, unreachable } from '../../__tests__/fakes';
import { ServicesModel } from '../services';

let fake: FakeApi;
let model: ServicesModel;
let log: AuditEntry[];
let page: number; // entries that the gateway tells at once at most, as where they are long

const last = (entries: readonly AuditEntry[]) => entries[entries.length - 1];
const entry = (id: number) => ({ id, who: 'ann', action: 'scale_service' }) as AuditEntry;

beforeEach(() => {
  fake = new FakeApi();
  fake.services = [service('words')];
  log = Array.from({ length: 2500 }, (_, i) => entry(i + 1));
  page = 1000;
  const api = fake.api as any;
  api.audit = async (key: string, { limit = 100, after = 0, before = Infinity, newest = false }) => {
    fake.calls.push(`audit ${key} ${limit}`);
    if (fake.refusals.audit) {
      throw fake.refusals.audit;
    }
    const found = log.filter(each => each.id > after && each.id < before);
    const most = Math.min(limit, page);
    const entries = newest ? found.slice(-most) : found.slice(0, most);
    return { entries, next: last(entries)?.id ?? after, more: entries.length < found.length };
  };
  model = new ServicesModel({ api, isVisible: () => true, stream: { delay: () => 5 } });
});

afterEach(() => model.dispose());

describe('who did what with a service', () => {
  it('is asked for when it is shown, and again after what happens to that service alone', async () => {
    const found = model.open('ann/words');
    found.watch();
    await eventually(() => model.connected === 'stream', 'connected');
    expect(fake.asked('audit')).toBe(0);
    found.audit.shown = true;
    await eventually(() => found.audit.entries?.length === 100, 'the newest');
    expect(last(found.audit.entries!).id).toBe(2500);
    log.push(entry(2501));
    const event = { id: 1, at: 1, kind: 'service.scaled', message: '', replica: null, details: {} };
    fake.events.say({ kind: 'event', event: { ...event, service: 'ann/other' } as any });
    fake.events.say({ kind: 'event', event: { ...event, service: 'ann/words' } as any });
    await eventually(() => last(found.audit.entries!).id === 2501, 'what was done since');
    expect(fake.asked('audit')).toBe(2);
    found.dispose();
  });

  it('shows older ones when they are asked for, up to as many as are told at once', async () => {
    const found = model.open('ann/words');
    await found.audit.refresh();
    expect(found.audit.more).toBe(true);
    await found.audit.older();
    expect(found.audit.entries).toHaveLength(200);
    for (let i = 0; i < 9; i++) {
      await found.audit.older();
    }
    expect([found.audit.entries!.length, found.audit.more]).toEqual([1000, false]);
    log = log.slice(0, 3);
    await found.audit.refresh();
    expect(found.audit.more).toBe(false);
    found.dispose();
  });

  it('is a line of JSON for each in a file, all of them, oldest first', async () => {
    const found = model.open('ann/words');
    const lines = (await found.audit.lines()).split('\n');
    expect(lines).toHaveLength(2501);
    expect(lines.pop()).toBe('');
    expect(lines.map(each => JSON.parse(each).id)).toEqual(log.map(each => each.id));
    found.dispose();
  });

  it('is read on where entries are so long that the gateway tells few at once', async () => {
    page = 30;
    const found = model.open('ann/words');
    await found.audit.refresh();
    expect(found.audit.entries!.map(each => each.id)).toEqual(log.slice(-100).map(each => each.id));
    expect(found.audit.more).toBe(true);
    expect((await found.audit.lines()).split('\n')).toHaveLength(2501);
    log = log.slice(0, 40);
    await found.audit.refresh();
    expect([found.audit.entries!.length, found.audit.more]).toEqual([40, false]);
    found.dispose();
  });

  it('keeps what was known when it cannot be had, and says why', async () => {
    const found = model.open('ann/words');
    await found.audit.refresh();
    fake.refusals.audit = unreachable();
    await found.audit.refresh();
    expect(found.audit.entries).toHaveLength(100);
    expect(found.audit.problem).toBe('The Jupyter server does not answer.');
    await expect(found.audit.lines()).rejects.toThrow('does not answer');
    found.dispose();
  });
});
