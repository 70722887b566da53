/** A gateway that a test plays: it answers what the test says, and counts what it was asked. */
import { Signal } from '@lumino/signaling';

import { Api, ApiError, Key, Replica, Service, Shared, StreamMessage } from '../api';

export function service(name: string, more: Partial<Service> = {}): Service {
  return {
    id: name,
    owner: 'ann',
    name,
    state: 'ready',
    reason: null,
    note: null,
    endpoint: `http://127.0.0.1:1/endpoints/ann/${name}/`,
    public: false,
    replicas: { want: 1, ready: 1, total: 1 },
    revision: 1,
    stable_revision: 1,
    revisions: [],
    replica_list: [],
    not_enforced: [],
    restarts: 0,
    created_at: 1,
    autoscaling: null,
    changed: null,
    folder_gone: false,
    folder_changed: null,
    notices: [],
    visibility: 'private',
    role: 'owner',
    page: null,
    notice: null,
    ends: null,
    ...more
  };
}

export function replica(id: string, more: Partial<Replica> = {}): Replica {
  return {
    id,
    revision: 1,
    phase: 'ready',
    since: 940,
    reason: null,
    pid: 1,
    address: null,
    action: null,
    in_flight: 0,
    suspect: false,
    exit: null,
    gpus: null,
    rss: null,
    created_at: 880,
    ...more
  };
}

export const unreachable = () => new ApiError('The Jupyter server does not answer.', 0, 'unreachable');
export const noRoute = () => new ApiError('This Jupyter server does not know the address.', 404, 'no_route');

/** An event stream of which the test says each message. */
export class FakeStream {
  open = async function* (this: FakeStream, signal: AbortSignal): AsyncGenerator<StreamMessage> {
    this.opened += 1;
    if (this.refusal !== null) {
      throw this.refusal;
    }
    const end = () => this.fail();
    signal.addEventListener('abort', end);
    this._failed = false;
    this._queue = [...this.greeting];
    try {
      for (;;) {
        for (let next = this._queue.shift(); next !== undefined; next = this._queue.shift()) {
          yield next;
        }
        if (this._failed) {
          throw unreachable();
        }
        await new Promise<void>(resolve => (this._wake = resolve));
      }
    } finally {
      signal.removeEventListener('abort', end);
      this.closed += 1;
    }
  }.bind(this);

  say(message: StreamMessage): void {
    this._queue.push(message);
    this._wake();
  }

  /** The connection breaks. */
  fail(): void {
    this._failed = true;
    this._wake();
  }

  opened = 0;
  closed = 0;
  /** Not null: it cannot be opened. */
  refusal: ApiError | null = null;
  greeting: StreamMessage[] = [{ kind: 'hello' }];
  private _queue: StreamMessage[] = [];
  private _failed = false;
  private _wake: () => void = () => undefined;
}

export class FakeApi {
  readonly events = new FakeStream();
  readonly calls: string[] = [];
  readonly answered = new Signal<this, void>(this);
  /** From when on figures were asked for. */
  readonly since: number[] = [];
  /** Seconds that the server's clock is ahead. */
  ahead = 0;
  services: Service[] = [];
  shared: Shared[] = [];
  /** What a change tells whoever asks for it. */
  notices: string[] = [];
  /** Where the page for administrators is. */
  administration: string | null = null;
  refusals: Partial<Record<string, ApiError>> = {};
  /** What a scale and a deletion wait for before they answer. */
  held: Promise<void> = Promise.resolve();
  /** What the list, and one service, wait for after they were looked up. */
  late: Promise<void> = Promise.resolve();

  asked(name: string): number {
    return this.calls.filter(each => each.split(' ')[0] === name).length;
  }

  /** Only what the models under test ask for. */
  get api(): Api {
    return {
      stream: (signal: AbortSignal) => this.events.open(signal),
      list: async () => {
        const found = await this._answer('list', () => ({
          services: [...this.services],
          shared: [...this.shared]
        }));
        await this.late;
        return found;
      },
      get: async (key: Key) => {
        const found = await this._answer(`get ${key}`, () => this._find(key));
        await this.late;
        return found;
      },
      site: () =>
        this._answer('site', () => ({ version: '1', mode: 'embedded', user: 'ann', root: '/', kinds: [] })),
      offer: () => this._answer('offer', () => ({ max_replicas: 3, containers: false, public: true })),
      series: (key: Key, since: number) => {
        this.since.push(since);
        return this._answer(`series ${key}`, () => ({
          step: 30,
          times: [1, 2],
          values: { calls_per_second: [1, null] }
        }));
      },
      seriesOf: (keys: readonly Key[], names: readonly string[], since: number) => {
        this.since.push(since);
        const one = { step: 30, times: [1, 2], values: { [names[0]]: [1, null] } };
        return this._answer(`seriesOf ${keys.join()} ${names.join()}`, () =>
          Object.fromEntries(keys.map(key => [key, one]))
        );
      },
      now: () => Date.now() / 1000 + this.ahead,
      answered: this.answered,
      events: (key: Key) => this._answer(`events ${key}`, () => []),
      tokens: (key: Key) => this._answer(`tokens ${key}`, () => []),
      uses: (key: Key) =>
        this._answer(`uses ${key}`, () => ({ uses: [], today: '2026-11-30', complete: true })),
      access: (key: Key) =>
        this._answer(`access ${key}`, () => ({
          visibility: 'private',
          shares: [],
          always: [],
          person: null
        })),
      gateway: () => this._answer('gateway', () => ({ people: false, administration: this.administration })),
      logs: (key: Key) =>
        this._answer(`logs ${key}`, () => ({ replica: 'r-1', lines: ['one'], next: 1, lost: 0 })),
      scale: async (key: Key, replicas: number) => {
        this.calls.push(`scale ${key} ${replicas}`);
        await this.held;
        return this._answer('scaled', () => {
          const found = this._find(key);
          found.replicas = { ...found.replicas, want: replicas };
          return { ...found, notices: this.notices };
        });
      },
      remove: async (key: Key) => {
        const found = { ...this._find(key), state: 'deleting' };
        this.calls.push(`remove ${key}`);
        await this.held;
        return found;
      },
      addRule: (key: Key) => this._answer(`addRule ${key}`, () => ({ notices: this.notices }))
    } as unknown as Api;
  }

  private _find(key: Key): Service {
    const found = this.services.find(each => `${each.owner}/${each.name}` === key);
    if (found === undefined) {
      throw new ApiError(`There is no service ${key}.`, 404, 'not_found');
    }
    return found;
  }

  private async _answer(call: string, answer: () => unknown): Promise<unknown> {
    this.calls.push(call);
    const refusal = this.refusals[call.split(' ')[0]];
    if (refusal !== undefined) {
      throw refusal;
    }
    const found = answer();
    this.answered.emit();
    return found;
  }
}

/** Looks again and again until it is true; for what has no signal of its own. */
export async function eventually(look: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 4000;
  while (!look()) {
    if (Date.now() > deadline) {
      throw new Error(`not seen within 4 s: ${what}`);
    }
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}
