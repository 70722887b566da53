/** The log of one replica, followed while it is shown. */
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { Api, ApiError, Key } from '../api';
import { Changes } from './changes';

const MOST_LINES = 5000;
const EVERY = 1000; // milliseconds

export class LogModel implements IDisposable {
  constructor(
    private readonly _api: Pick<Api, 'logs'>,
    private readonly _key: Key,
    private readonly _isActive: () => boolean
  ) {}

  get changed(): ISignal<this, void> {
    return this._changes.signal;
  }

  /** The last few thousand. */
  get lines(): readonly string[] {
    return this._lines;
  }

  /** How many lines before them are not kept. */
  get lost(): number {
    return this._lost;
  }

  /** Whose lines they are; null until it is known. */
  get replica(): string | null {
    return this._replica;
  }

  /** Why they could not be read, in one sentence. */
  get problem(): string | null {
    return this._problem;
  }

  get following(): boolean {
    return this._following;
  }

  set following(following: boolean) {
    this._following = following;
    this._changes.now();
    this.wake();
  }

  /** What is looked for in the lines. */
  get search(): string {
    return this._search;
  }

  set search(text: string) {
    this._search = text;
    this._changes.now();
  }

  /** Whether the log is on the screen: it is not read before. */
  get shown(): boolean {
    return this._shown;
  }

  set shown(shown: boolean) {
    if (shown !== this._shown) {
      this._shown = shown;
      this.wake();
    }
  }

  /** From the beginning of what is kept; null: of the newest replica. */
  show(replica: string | null): void {
    this._replica = replica;
    this._next = 0;
    this._lines = [];
    this._lost = 0;
    this._problem = null;
    this._read = false;
    this._changes.now();
    this.wake();
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  dispose(): void {
    this._disposed = true;
    this.wake();
    this._changes.dispose();
    Signal.clearData(this);
  }

  /** To be called when `isActive` may answer otherwise. */
  wake(): void {
    clearTimeout(this._timer);
    this._abort?.abort();
    this._abort = null;
    if (!this._disposed && this._shown && this._isActive() && (this._following || !this._read)) {
      this._abort = new AbortController();
      void this._follow(this._abort.signal);
    }
  }

  private async _follow(signal: AbortSignal): Promise<void> {
    try {
      const found = await this._api.logs(this._key, { replica: this._replica, after: this._next }, signal);
      if (signal.aborted) {
        return;
      }
      this._replica = found.replica;
      this._next = found.next;
      this._problem = null;
      this._read = true;
      if (found.lines.length > 0 || found.lost > 0) {
        const lines = [...this._lines, ...found.lines];
        this._lost += found.lost + Math.max(0, lines.length - MOST_LINES);
        this._lines = lines.slice(-MOST_LINES);
      }
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      this._problem = error instanceof ApiError ? error.message : String(error);
    }
    this._changes.soon();
    if (this._following) {
      this._timer = setTimeout(() => void this._follow(signal), EVERY);
    }
  }

  private readonly _changes = new Changes<this>(this);
  private _lines: readonly string[] = [];
  private _lost = 0;
  private _replica: string | null = null;
  private _next = 0;
  private _read = false;
  private _problem: string | null = null;
  private _following = true;
  private _search = '';
  private _shown = false;
  private _abort: AbortController | null = null;
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _disposed = false;
}
