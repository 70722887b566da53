/** The small pictures in the rows: calls per second over the last quarter of an hour, of the services that can be seen. */
import type { Api, Key, Series } from '../api';

const SPAN = 900; // seconds
const STEP = 30;
const EVERY = 15000; // milliseconds
const TOGETHER = 50; // services in one request
const SHOWN = 'calls_per_second';

export interface SparksOptions {
  api: Pick<Api, 'seriesOf' | 'now'>;
  changed: () => void;
  every?: number;
}

export class Sparks {
  constructor(private readonly _options: SparksOptions) {}

  of(key: Key): readonly number[] {
    return this._values.get(key) ?? NONE;
  }

  show(keys: readonly Key[]): void {
    const news = keys.some(key => !this._values.has(key) && !this._shown.has(key));
    this._shown = new Set(keys);
    for (const key of this._values.keys()) {
      if (!this._shown.has(key)) {
        this._values.delete(key);
      }
    }
    if (news) {
      this._wake();
    }
  }

  set active(active: boolean) {
    if (active !== this._active) {
      this._active = active;
      this._wake();
    }
  }

  dispose(): void {
    this._active = false;
    this._wake();
  }

  private _wake(): void {
    clearTimeout(this._timer);
    this._abort?.abort();
    this._abort = null;
    if (this._active && this._shown.size > 0) {
      this._abort = new AbortController();
      void this._look(this._abort.signal);
    }
  }

  private async _look(signal: AbortSignal): Promise<void> {
    const since = this._options.api.now() - SPAN;
    // Those that nothing is known of come first.
    const keys = [...this._shown].sort((a, b) => Number(this._values.has(a)) - Number(this._values.has(b)));
    while (keys.length > 0 && !signal.aborted) {
      const asked = keys.splice(0, TOGETHER);
      try {
        this._take(await this._options.api.seriesOf(asked, [SHOWN], since, STEP, signal), signal);
      } catch {
        // A gateway that is gone: the list tells of it. One that is older than this panel shows no pictures.
      }
    }
    if (!signal.aborted) {
      this._timer = setTimeout(() => this._wake(), this._options.every ?? EVERY);
    }
  }

  private _take(found: Record<Key, Series>, signal: AbortSignal): void {
    if (signal.aborted) {
      return;
    }
    for (const [key, series] of Object.entries(found)) {
      const values = (series.values[SHOWN] ?? []).map(value => value ?? 0);
      // What is as it was stays the same: its row is not drawn again.
      if (this._shown.has(key) && values.join() !== this._values.get(key)?.join()) {
        this._values.set(key, values);
      }
    }
    this._options.changed();
  }

  private _shown = new Set<Key>();
  private readonly _values = new Map<Key, readonly number[]>();
  private _active = false;
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _abort: AbortController | null = null;
}

const NONE: readonly number[] = [];
