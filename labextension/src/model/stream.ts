/** The gateway's event stream, kept open: it is opened again when it ends, fails, or says nothing for too long. */
import { DisposableDelegate, IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { ApiError, StreamMessage } from '../api';

export type StreamState =
  | 'closed' // nobody wants it
  | 'opening'
  | 'open' // it has said hello
  | 'waiting'; // it failed, and is opened again in a while

export interface StreamOptions {
  open: (signal: AbortSignal) => AsyncIterable<StreamMessage>;
  /** Milliseconds without a word (the gateway says one each 10 s, this server or another window hands it on) after which it is dead: a proxy may hold it back. */
  silence?: number;
  /** Milliseconds until hello must have come. */
  patience?: number;
  /** Milliseconds to wait after the n-th failure in a row, from 1 on. */
  delay?: (failures: number) => number;
}

/** 0.5 s, 1 s, 2 s … 10 s, a fifth more or less, so that the pages of a restarted server do not all come at once. */
export function backoff(failures: number): number {
  return Math.min(10000, 500 * 2 ** (failures - 1)) * (0.8 + 0.4 * Math.random());
}

const SOUND = 10000; // milliseconds that a stream must have lived for its end to count as the first failure

export class EventStream implements IDisposable {
  constructor(options: StreamOptions) {
    this._options = { silence: 15000, patience: 8000, delay: backoff, ...options };
  }

  get state(): StreamState {
    return this._state;
  }

  /** Why it failed last; null while it is open. */
  get problem(): ApiError | null {
    return this._problem;
  }

  get stateChanged(): ISignal<this, StreamState> {
    return this._stateChanged;
  }

  get message(): ISignal<this, StreamMessage> {
    return this._message;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  dispose(): void {
    this._disposed = true;
    this.stop();
    Signal.clearData(this);
  }

  start(): void {
    if (this._abort === null && !this._disposed) {
      this._abort = new AbortController();
      void this._run(this._abort.signal);
    }
  }

  /** At once, where it waits after a failure: there is reason to think that it opens now. */
  retry(): void {
    this._nap?.abort();
  }

  stop(): void {
    this._abort?.abort();
    this._abort = null;
    this._problem = null;
    this._set('closed');
  }

  private async _run(wanted: AbortSignal): Promise<void> {
    let failures = 0;
    while (!wanted.aborted) {
      const began = performance.now();
      this._set('opening');
      this._problem = await this._readOnce(wanted);
      if (wanted.aborted) {
        return;
      }
      failures = performance.now() - began >= SOUND ? 1 : failures + 1;
      this._nap = new AbortController();
      const end = () => this._nap?.abort();
      wanted.addEventListener('abort', end);
      this._set('waiting');
      await pause(this._options.delay(failures), this._nap.signal);
      wanted.removeEventListener('abort', end);
      this._nap = null;
    }
  }

  /** Until it ends; tells why it failed. */
  private async _readOnce(wanted: AbortSignal): Promise<ApiError | null> {
    const abort = new AbortController();
    const giveUp = () => abort.abort();
    wanted.addEventListener('abort', giveUp);
    let watchdog = setTimeout(giveUp, this._options.patience);
    try {
      for await (const message of this._options.open(abort.signal)) {
        if (wanted.aborted) {
          return null;
        }
        clearTimeout(watchdog);
        watchdog = setTimeout(giveUp, this._options.silence);
        if (message.kind === 'hello') {
          this._problem = null;
          this._set('open');
        }
        if (message.kind !== 'heartbeat') {
          this._message.emit(message);
        }
      }
      return null;
    } catch (error) {
      return error instanceof ApiError ? error : null;
    } finally {
      clearTimeout(watchdog);
      abort.abort();
      wanted.removeEventListener('abort', giveUp);
    }
  }

  private _set(state: StreamState): void {
    if (state !== this._state) {
      this._state = state;
      this._stateChanged.emit(state);
    }
  }

  private readonly _options: Required<StreamOptions>;
  private readonly _message = new Signal<this, StreamMessage>(this);
  private readonly _stateChanged = new Signal<this, StreamState>(this);
  private _state: StreamState = 'closed';
  private _problem: ApiError | null = null;
  private _abort: AbortController | null = null;
  private _nap: AbortController | null = null;
  private _disposed = false;
}

/** Resolves after so many milliseconds, or when the signal is given. */
export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const over = new DisposableDelegate(() => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    });
    const end = () => over.dispose();
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener('abort', end);
    if (signal.aborted) {
      end();
    }
  });
}
