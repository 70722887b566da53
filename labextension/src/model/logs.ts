/** The log of one replica, followed while it is shown. */
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { Api, ApiError, Key, Replica } from '../api';
import { Changes } from './changes';

const MOST_LINES = 5000;
const EVERY = 1000; // milliseconds
const EACH = 1000; // lines of an answer, as long as that suffices
const FAR = Number.MAX_SAFE_INTEGER; // after the last line of any log: the answer tells where that is

export class LogModel implements IDisposable {
  constructor(
    private readonly _api: Pick<Api, 'logs'>,
    private readonly _key: Key,
    private readonly _isActive: () => boolean,
    /** Those that the service has now, and of those that went the last few. */
    private readonly _replicas: () => readonly Replica[]
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

  /** Whether that replica is no more: no line comes after those that are here. */
  get gone(): boolean {
    return this._unknown || isGone(this._listed);
  }

  /** Why they could not be read, in one sentence. */
  get problem(): string | null {
    return this._problem;
  }

  /** Whether more is written than is read: then the last lines are shown, and those before them counted. */
  get catchingUp(): boolean {
    return this._behind && this._following && !this.gone;
  }

  get following(): boolean {
    return this._following;
  }

  set following(following: boolean) {
    this._following = following;
    this._changes.now();
    this._moveOn();
    this.wake();
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

  /** From the beginning of what is kept; null: of one that serves, and when it goes, of the newest that lives. */
  show(replica: string | null): void {
    this._chosen = replica !== null;
    this._begin(replica);
  }

  /** To be called when replicas have come or gone. */
  replicasChanged(): void {
    this._moveOn();
    if (this.gone !== this._wasGone) {
      this._wasGone = this.gone;
      this._changes.soon();
    }
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
    const more = !this._read || (this._following && !this._whole);
    if (!this._disposed && this._shown && this._isActive() && more) {
      this._abort = new AbortController();
      void this._follow(this._abort.signal);
    }
  }

  private _begin(replica: string | null): void {
    this._replica = replica;
    this._next = 0;
    this._lines = [];
    this._lost = 0;
    this._problem = null;
    this._read = false;
    this._whole = false;
    this._unknown = false;
    this._behind = false;
    this._wasGone = this.gone;
    this._changes.now();
    this.wake();
  }

  /** Nobody chose the one that went, and nobody has stopped to read its last lines: its follower is of interest. */
  private _moveOn(): void {
    const free = !this._chosen && (this._following || this._lines.length === 0);
    if (free && this.gone) {
      const newest = newestOf(this._replicas());
      if (newest !== null && newest !== this._replica) {
        this._begin(newest);
      }
    }
  }

  private get _listed(): Replica | undefined {
    return this._replicas().find(each => each.id === this._replica);
  }

  private async _follow(signal: AbortSignal): Promise<void> {
    const gone = this.gone;
    // Of one that is gone its last lines are kept, and what was read before does not count there.
    const end = gone && this._read;
    const behind = this._behind && !gone;
    try {
      if (behind) {
        await this._skip(signal);
      }
      const limit = behind ? MOST_LINES : EACH;
      const asked = { replica: this._replica, after: end ? 0 : this._next, limit };
      const found = await this._api.logs(this._key, asked, signal);
      if (signal.aborted) {
        return;
      }
      // One that cannot be asked just now (its gateway has begun anew) has no lines, and says that it is at the first.
      this._next = found.replica === this._replica ? Math.max(this._next, found.next) : found.next;
      this._replica = found.replica;
      this._problem = null;
      this._read = true;
      this._whole = gone;
      this._behind = !gone && found.lines.length >= limit;
      this._add(end ? unread(this._lines, found.lines) : found.lines, found.lost);
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      this._unknown = error instanceof ApiError && error.code === 'not_found';
      this._whole = this._unknown;
      this._read ||= this._unknown;
      this._problem = this._unknown ? null : error instanceof ApiError ? error.message : String(error);
    }
    this._changes.soon();
    this._moveOn();
    if (this._following && !this._whole && !signal.aborted) {
      // The first full answer may have been the last but one; after the last lines, the next are waited for.
      const wait = this._behind && !behind ? 0 : EVERY;
      this._timer = setTimeout(() => void this._follow(signal), wait);
    }
  }

  /** Of 100,000 lines a second nobody sees more than the last that are kept: those before them are not read. */
  private async _skip(signal: AbortSignal): Promise<void> {
    const asked = { replica: this._replica, after: FAR, limit: 1 };
    const end = (await this._api.logs(this._key, asked, signal)).next;
    const skipped = end - MOST_LINES - this._next;
    if (!signal.aborted && end < FAR && skipped > 0) {
      this._next += skipped;
      this._add([], skipped);
    }
  }

  private _add(young: readonly string[], lost: number): void {
    if (young.length > 0 || lost > 0) {
      const lines = [...this._lines, ...young];
      this._lost += lost + Math.max(0, lines.length - MOST_LINES);
      this._lines = lines.slice(-MOST_LINES);
    }
  }

  private readonly _changes = new Changes<this>(this);
  private _lines: readonly string[] = [];
  private _lost = 0;
  private _replica: string | null = null;
  /** Somebody wants to see this one, and no other in its place. */
  private _chosen = false;
  /** The gateway knows it no more. */
  private _unknown = false;
  private _wasGone = false;
  /** No more is asked for: it was read after its replica had gone. */
  private _whole = false;
  private _next = 0;
  /** The last answer was full: there is more. */
  private _behind = false;
  private _read = false;
  private _problem: string | null = null;
  private _following = true;
  private _shown = false;
  private _abort: AbortController | null = null;
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _disposed = false;
}

function isGone(replica: Replica | undefined): boolean {
  return replica?.phase === 'gone' || replica?.phase === 'failed';
}

/** Of those that have a log that goes on. */
function newestOf(replicas: readonly Replica[]): string | null {
  const living = replicas.filter(each => !isGone(each) && each.phase !== 'requested');
  return living.sort((a, b) => b.created_at - a.created_at)[0]?.id ?? null;
}

/** What the last lines of a log have besides those that were read: they begin somewhere among these, or after them. */
export function unread(read: readonly string[], last: readonly string[]): readonly string[] {
  for (let same = Math.min(read.length, last.length); same > 0; same--) {
    const from = read.length - same;
    if (last.every((line, i) => i >= same || line === read[from + i])) {
      return last.slice(same);
    }
  }
  return last;
}
