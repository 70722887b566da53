/** One event stream for all windows of a browser that show the same server: over HTTP/1.1 a browser has six connections to
 * it, and each stream keeps one.
 *
 * The window that holds a lock has the stream, and hands what comes in it to the others; they wait for the lock. When the
 * window is closed, hides or loses the stream, the next one opens it, and its `hello` tells all to look at the list.
 * Without locks (they want HTTPS, or a loopback address) each window has its own stream.
 */
import type { StreamMessage } from '../api';

export type Open = (signal: AbortSignal) => AsyncIterable<StreamMessage>;

/** What is sent between windows. */
interface Said {
  from: string;
  /** To one window only. */
  to?: string;
  /** Without one, it asks whoever has the stream to say whether it is open. */
  message?: StreamMessage;
}

/** @param name of what is shared: the same for all windows of a server, and of no other. */
export function shared(open: Open, name: string): Open {
  const locks = globalThis.navigator?.locks;
  if (locks === undefined || typeof BroadcastChannel === 'undefined') {
    return open;
  }
  return signal => read(open, name, locks, signal);
}

async function* read(
  open: Open,
  name: string,
  locks: LockManager,
  signal: AbortSignal
): AsyncGenerator<StreamMessage> {
  const me = `${Date.now()}-${Math.random()}`;
  const channel = new BroadcastChannel(name);
  const abort = new AbortController();
  const queue: StreamMessage[] = [];
  let over = false;
  let problem: unknown = null;
  let wake: () => void = () => undefined;
  const put = (message: StreamMessage) => {
    queue.push(message);
    wake();
  };
  const end = (error: unknown) => {
    over = true;
    problem ??= error;
    wake();
  };
  const leave = () => {
    abort.abort();
    end(signal.reason);
  };
  const say = (said: Omit<Said, 'from'>) => channel.postMessage({ from: me, ...said } satisfies Said);

  let leader: string | null = null; // the window whose messages count
  let greeted = false; // this window has the stream, and it is open
  channel.onmessage = ({ data: { from, to, message } }: MessageEvent<Said>) => {
    if (message === undefined) {
      if (greeted) {
        say({ to: from, message: { kind: 'hello' } });
      }
    } else if (leader !== me && (to === undefined || (to === me && leader !== from))) {
      // What came before the leader's hello is told by the list, which is asked for after it.
      leader = message.kind === 'hello' ? from : leader;
      if (from === leader) {
        put(message);
      }
    }
  };

  const lead = async () => {
    leader = me;
    for await (const message of open(abort.signal)) {
      if (abort.signal.aborted) {
        return;
      }
      greeted ||= message.kind === 'hello';
      say({ message });
      put(message);
    }
  };

  signal.addEventListener('abort', leave);
  if (signal.aborted) {
    leave();
  }
  locks.request(name, { signal: abort.signal }, lead).then(() => end(null), end);
  say({});
  try {
    for (;;) {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        yield next;
      }
      if (over) {
        if (problem !== null) {
          throw problem;
        }
        return;
      }
      await new Promise<void>(resolve => (wake = resolve));
    }
  } finally {
    signal.removeEventListener('abort', leave);
    abort.abort();
    greeted = false;
    channel.close();
  }
}
