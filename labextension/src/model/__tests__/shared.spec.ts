import { eventually, FakeStream, unreachable } from '../../__tests__/fakes';
import { EventStream } from '../stream';
import { shared } from '../shared';

/** What jsdom does not have: locks, and channels between windows. */
class Locks {
  request(_: string, { signal }: { signal: AbortSignal }, work: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const start = () => {
        signal.removeEventListener('abort', leave);
        this._held = true;
        const next = () => {
          this._held = false;
          this._waiting.shift()?.();
        };
        void work().then(resolve, reject).finally(next);
      };
      const leave = () => {
        this._waiting = this._waiting.filter(each => each !== start);
        reject(new DOMException('', 'AbortError'));
      };
      signal.addEventListener('abort', leave);
      if (this._held) {
        this._waiting.push(start);
      } else {
        start();
      }
    });
  }

  private _held = false;
  private _waiting: Array<() => void> = [];
}

class Channel {
  constructor() {
    Channel.all.add(this);
  }

  postMessage(data: unknown): void {
    for (const each of Channel.all) {
      if (each !== this) {
        setTimeout(() => Channel.all.has(each) && each.onmessage({ data: structuredCloneOf(data) }));
      }
    }
  }

  close(): void {
    Channel.all.delete(this);
  }

  onmessage: (event: { data: unknown }) => void = () => undefined;
  static readonly all = new Set<Channel>();
}

const structuredCloneOf = (data: unknown) => JSON.parse(JSON.stringify(data));

interface Page {
  stream: EventStream;
  heard: string[];
}

describe('windows of one browser', () => {
  let fake: FakeStream;
  let pages: Page[];

  function page(): Page {
    const stream = new EventStream({
      open: shared(fake.open, 'lab'),
      delay: () => 5,
      silence: 5000,
      patience: 5000
    });
    const heard: string[] = [];
    stream.message.connect((_, message) => void heard.push((message as any).key ?? message.kind));
    stream.start();
    pages.push({ stream, heard });
    return pages[pages.length - 1];
  }

  beforeEach(() => {
    fake = new FakeStream();
    pages = [];
    Channel.all.clear();
    Object.defineProperty(navigator, 'locks', { value: new Locks(), configurable: true });
    (globalThis as any).BroadcastChannel = Channel;
  });

  afterEach(() => {
    for (const each of pages) {
      each.stream.dispose();
    }
    delete (navigator as any).locks;
    delete (globalThis as any).BroadcastChannel;
  });

  it('share one event stream, also those that come later', async () => {
    const first = page();
    const second = page();
    await eventually(() => pages.every(each => each.stream.state === 'open'), 'both open');
    const third = page();
    await eventually(() => third.stream.state === 'open', 'the third');
    fake.say({ kind: 'removed', key: 'ann/a' });
    await eventually(() => pages.every(each => each.heard.includes('ann/a')), 'all hear of it');
    expect(fake.opened).toBe(1);
    expect([first, second, third].map(each => each.heard)).toEqual([1, 2, 3].map(() => ['hello', 'ann/a']));
  });

  it('go on when the one that has the stream hides or is closed, and look at the list again', async () => {
    const first = page();
    const others = [page(), page()];
    await eventually(() => pages.every(each => each.stream.state === 'open'), 'all open');
    first.stream.stop();
    await eventually(() => others.every(each => each.heard.length === 2), 'a new hello');
    expect(others.map(each => each.heard)).toEqual([
      ['hello', 'hello'],
      ['hello', 'hello']
    ]);
    fake.say({ kind: 'removed', key: 'ann/a' });
    await eventually(() => others.every(each => each.heard[2] === 'ann/a'), 'both hear of it');
    expect([fake.opened, fake.closed]).toEqual([2, 1]);
    expect(first.heard).toEqual(['hello']);
    first.stream.start();
    await eventually(() => first.stream.state === 'open', 'it is shown again');
    expect(fake.opened).toBe(2);
    others[0].stream.stop();
    others[1].stream.stop();
    await eventually(() => fake.opened === 3 && first.heard.length === 3, 'it has the stream again');
  });

  it('each find out that the stream cannot be opened, and share it when it can', async () => {
    fake.refusal = unreachable();
    page();
    page();
    await eventually(() => pages.every(each => each.stream.problem !== null), 'both know');
    fake.refusal = null;
    await eventually(() => pages.every(each => each.stream.state === 'open'), 'both open');
    const before = fake.opened;
    fake.say({ kind: 'removed', key: 'ann/a' });
    await eventually(() => pages.every(each => each.heard.includes('ann/a')), 'both hear of it');
    expect(fake.opened).toBe(before);
  });

  it('have a stream each where the browser has no locks', async () => {
    delete (navigator as any).locks;
    page();
    page();
    await eventually(() => fake.opened === 2, 'two streams');
  });
});
