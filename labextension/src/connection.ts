/** One connection to the Jupyter server: how it is asked, what its refusals become, and what time it has there. */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ISignal, Signal } from '@lumino/signaling';

import { serverSentEvents, texts } from './sse';
import { Turns } from './turns';
import type { Problem } from './types';
import { failure } from './words';

/** The server refused, or could not be reached. `message` is one sentence for people. */
export class ApiError extends Error {
  /**
   * @param status of HTTP; 0: the server could not be reached.
   * @param code of the error, such as `not_found`; `no_route` where the server does not know the address at all, and
   *   `unreachable` where there was no answer.
   * @param problems of a definition, where that is what is wrong.
   */
  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
    readonly problems: readonly Problem[] = []
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

export const PATIENCE = 10000; // milliseconds for an answer to a question; a change may take its time
const AT_ONCE = 2; // questions, of the six connections that a browser has to a server

type Query = Record<string, string | number | boolean | null | undefined>;

export interface Asked {
  query?: Query;
  body?: unknown;
  signal?: AbortSignal;
  /** Milliseconds for a whole answer to a question. */
  patience?: number;
  /** It may wait until nothing else does. */
  later?: boolean;
}

export class Connection {
  constructor(
    private readonly _settings: ServerConnection.ISettings,
    private readonly _patience: number,
    private readonly _trans: TranslationBundle
  ) {}

  /** Unix time as the server has it, which is what all times that it tells are measured with. */
  now(): number {
    return Date.now() / 1000 + this._ahead;
  }

  /** The server has done what it was asked: it can be reached. */
  get answered(): ISignal<unknown, void> {
    return this._answered;
  }

  async *events(address: string, signal: AbortSignal) {
    const answer = await this.request(this._url(address), {
      headers: { Accept: 'text/event-stream' },
      signal
    });
    if (!answer.ok) {
      throw await refusal(answer, this._trans);
    }
    if (answer.body === null) {
      return;
    }
    yield* serverSentEvents(texts(answer.body));
  }

  /** Questions take turns, and are given up when they last too long: a server that hangs is to leave JupyterLab its
   * connections. */
  json<T>(method: string, address: string, asked: Asked = {}): Promise<T> {
    return method === 'GET'
      ? this._turns.run(() => this._inTime(method, address, asked), asked)
      : this._answer(method, address, asked);
  }

  private async _inTime<T>(method: string, address: string, asked: Asked): Promise<T> {
    const { signal, patience = this._patience } = asked;
    const abort = new AbortController();
    const end = () => abort.abort(signal?.reason);
    const timer = setTimeout(() => abort.abort(), patience);
    signal?.addEventListener('abort', end);
    try {
      return await this._answer<T>(method, address, { ...asked, signal: abort.signal });
    } catch (error) {
      if (!abort.signal.aborted || signal?.aborted) {
        throw error;
      }
      throw new ApiError(failure('unreachable', { patience }, this._trans), 0, 'unreachable');
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
    }
  }

  private async _answer<T>(method: string, address: string, { query, body, signal }: Asked): Promise<T> {
    const answer = await this.request(this._url(address, query), {
      method,
      signal,
      headers: {
        Accept: 'application/json',
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' })
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    });
    this._readClock(answer.headers.get('Date'));
    if (!answer.ok) {
      throw await refusal(answer, this._trans);
    }
    const said = (answer.status === 204 ? undefined : await answer.json()) as T;
    this._answered.emit();
    return said;
  }

  /** The header has whole seconds, and was written a while ago: less than 3 s are no difference. */
  private _readClock(header: string | null): void {
    const at = Date.parse(header ?? '') / 1000;
    const ahead = at + 0.5 - Date.now() / 1000;
    if (!isNaN(at) && Math.abs(ahead - this._ahead) > 3) {
      this._ahead = Math.abs(ahead) > 3 ? ahead : 0;
    }
  }

  async request(url: string, init: RequestInit): Promise<Response> {
    try {
      // Jupyter's default, "no-store", adds the time to the address: to a model's, too, and we forbid unknown words there.
      return await ServerConnection.makeRequest(url, { cache: 'no-cache', ...init }, this._settings);
    } catch (error) {
      if (init.signal?.aborted) {
        throw error;
      }
      throw new ApiError(failure('unreachable', {}, this._trans), 0, 'unreachable');
    }
  }

  private _url(address: string, query: Query = {}): string {
    const said = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
    const text = said.length > 0 ? `?${new URLSearchParams(said.map(([k, v]) => [k, String(v)]))}` : '';
    return URLExt.join(this._settings.baseUrl, address) + text;
  }

  private readonly _turns = new Turns(AT_ONCE);
  private readonly _answered = new Signal<this, void>(this);
  private _ahead = 0; // seconds that the server's clock is ahead of this one
}

async function refusal(answer: Response, trans: TranslationBundle): Promise<ApiError> {
  const text = await answer.text().catch(() => '');
  try {
    const found = JSON.parse(text);
    if (typeof found?.error?.message === 'string') {
      return new ApiError(found.error.message, answer.status, found.error.code, found.error.problems ?? []);
    }
    if (answer.status !== 404 && typeof found?.message === 'string' && found.message !== '') {
      return new ApiError(found.message, answer.status, 'jupyter');
    }
  } catch {
    // Not JSON: a page of Jupyter or of a proxy before it, of which only the status can be told.
  }
  const code = answer.status === 404 ? 'no_route' : 'status';
  return new ApiError(failure(code, answer, trans), answer.status, code);
}
