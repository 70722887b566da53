import { Api, ApiError, Replica } from '../../api';
import { eventually, replica } from '../../__tests__/fakes';
import { LogModel, unread } from '../logs';

const notFound = () => new ApiError('Service ann/words has no replica r-1.', 404, 'not_found');

let replicas: Replica[];
let logs: LogModel;
/** Of each replica; one that is not here is not known any more. */
let written: Record<string, string[]>;
let asked: Array<string | null>;
/** Lines that are written between two questions. */
let rate: number;

const storm = (from: number, count: number) => Array.from({ length: count }, (_, i) => `line ${from + i}`);

beforeEach(() => {
  jest.useFakeTimers({ advanceTimers: 20 });
  replicas = [replica('r-1'), replica('r-2', { phase: 'loading', created_at: 990 })];
  written = { 'r-1': ['one'], 'r-2': ['two'] };
  asked = [];
  rate = 0;
  const api: Pick<Api, 'logs'> = {
    logs: async (_, { replica, after = 0, limit = 1000 } = {}) => {
      asked.push(replica ?? null);
      const id = replica ?? Object.keys(written)[0];
      if (id === undefined || !(id in written)) {
        throw notFound();
      }
      written[id] = [...written[id], ...storm(written[id].length, rate)];
      const start = Math.min(after, written[id].length);
      const lines = written[id].slice(start, start + limit);
      return { replica: id, lines, next: start + lines.length, lost: 0 };
    }
  };
  logs = new LogModel(
    api,
    'ann/words',
    () => true,
    () => replicas
  );
});

afterEach(() => {
  logs.dispose();
  jest.useRealTimers();
});

async function quiet(): Promise<void> {
  const before = asked.length;
  await jest.advanceTimersByTimeAsync(5000);
  expect(asked.slice(before)).toEqual([]);
}

it('goes on with the newest that lives when the one that nobody chose has gone', async () => {
  logs.shown = true;
  await eventually(() => logs.lines.join() === 'one', 'the log of one that serves');
  replicas = [replica('r-1', { phase: 'gone' }), replicas[1], replica('r-0', { created_at: 1 })];
  logs.replicasChanged();
  await eventually(() => logs.lines.join() === 'two', 'the log of the newest');
  expect([logs.replica, logs.gone]).toEqual(['r-2', false]);
});

it('goes on also when the gateway has begun anew and knows the former one no more', async () => {
  logs.shown = true;
  await eventually(() => logs.replica === 'r-1', 'the first');
  replicas = [];
  delete written['r-1'];
  delete written['r-2'];
  await eventually(() => logs.gone, 'it is seen that it is gone');
  expect([logs.problem, logs.lines.join()]).toEqual([null, 'one']);
  await quiet();
  written['r-3'] = ['three'];
  replicas = [replica('r-3')];
  logs.replicasChanged();
  await eventually(() => logs.lines.join() === 'three', 'the log of the new one');
});

it('stays with the one that was chosen, has its last lines, and asks no more', async () => {
  logs.shown = true;
  logs.show('r-1');
  await eventually(() => logs.lines.join() === 'one', 'the log of the chosen one');
  written['r-1'] = ['one', 'last words'];
  replicas = [replica('r-1', { phase: 'gone' }), replicas[1]];
  logs.replicasChanged();
  await eventually(() => logs.lines.join() === 'one,last words', 'what it said at last');
  expect([logs.replica, logs.gone]).toEqual(['r-1', true]);
  await quiet();
});

it('stays where somebody has stopped to read, until the log is followed again', async () => {
  logs.shown = true;
  await eventually(() => logs.replica === 'r-1', 'the first');
  logs.following = false;
  replicas = [replica('r-1', { phase: 'gone' }), replicas[1]];
  logs.replicasChanged();
  expect([logs.replica, logs.gone]).toEqual(['r-1', true]);
  logs.following = true;
  await eventually(() => logs.replica === 'r-2', 'the newest');
});

it('has no line twice after a time in which its replica could not be asked', async () => {
  logs.shown = true;
  await eventually(() => logs.lines.length === 1, 'the first line');
  const before = written['r-1'];
  written['r-1'] = [];
  const count = asked.length;
  await eventually(() => asked.length > count, 'nothing is known of it');
  written['r-1'] = [...before, 'more'];
  await eventually(() => logs.lines.length > 1, 'the second line');
  expect(logs.lines).toEqual(['one', 'more']);
});

it('keeps the last few thousand lines, and counts those before them', async () => {
  written['r-1'] = Array.from({ length: 5003 }, (_, i) => `line ${i}`);
  logs.shown = true;
  await eventually(() => logs.lines.length === 5000, 'the lines');
  expect([logs.lines.length, logs.lines[0], logs.lost]).toEqual([5000, 'line 3', 3]);
  written['r-1'].push('more');
  await eventually(() => logs.lost === 4, 'one more');
  expect([logs.lines.length, logs.lines[4999]]).toEqual([5000, 'more']);
});

it('reads on at once when there is more than an answer holds', async () => {
  written['r-1'] = storm(0, 2500);
  logs.shown = true;
  await jest.advanceTimersByTimeAsync(500);
  expect([logs.lines.length, logs.lines[2499], logs.lost, logs.catchingUp]).toEqual([
    2500,
    'line 2499',
    0,
    false
  ]);
});

it('shows in a storm of lines the last ones, counts the others, and says so until it is over', async () => {
  rate = 20_000;
  logs.shown = true;
  await eventually(() => logs.catchingUp, 'that it does not keep up');
  for (let second = 0; second < 3; second++) {
    await jest.advanceTimersByTimeAsync(1100);
    const shown = Number(logs.lines[4999].split(' ')[1]);
    expect(shown).toBeGreaterThanOrEqual(written['r-1'].length - rate - 1);
    expect([logs.lines.length, logs.lost, logs.catchingUp]).toEqual([5000, shown + 1 - 5000, true]);
  }
  expect(asked.length).toBeLessThan(20);
  rate = 0;
  await eventually(() => !logs.catchingUp, 'that it has caught up');
  expect(logs.lines[4999]).toBe(`line ${written['r-1'].length - 1}`);
});

it('takes of the last lines what was not read', () => {
  expect(unread(['a', 'b', 'c'], ['b', 'c', 'd'])).toEqual(['d']);
  expect(unread(['a', 'b'], ['a', 'b'])).toEqual([]);
  expect(unread(['a', 'b'], ['x'])).toEqual(['x']);
  expect(unread(['a', 'a'], ['a', 'a', 'a'])).toEqual(['a']);
  expect(unread([], ['a'])).toEqual(['a']);
});
