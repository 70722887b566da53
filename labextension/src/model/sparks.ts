/** The small pictures in the rows: calls per second over the last quarter of an hour, of the services that can be seen. */
import type { Api, Key } from '../api';

const SPAN = 900; // seconds
const STEP = 30;
const EVERY = 15000; // milliseconds
const AT_ONCE = 4; // requests, so that a hundred rows do not take all of a browser's connections

export interface SparksOptions {
  api: Pick<Api, 'series'>;
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
    const since = Date.now() / 1000 - SPAN;
    // Those that nothing is known of come first.
    const keys = [...this._shown].sort((a, b) => Number(this._values.has(a)) - Number(this._values.has(b)));
    const lane = async () => {
      for (let key = keys.shift(); key !== undefined && !signal.aborted; key = keys.shift()) {
        try {
          const series = await this._options.api.series(key, since, STEP, signal);
          if (!signal.aborted && this._shown.has(key)) {
            this._values.set(
              key,
              (series.values['calls_per_second'] ?? []).map(value => value ?? 0)
            );
            this._options.changed();
          }
        } catch {
          // A service that is gone, or a gateway that is: the list tells of both.
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
    if (!signal.aborted) {
      this._timer = setTimeout(() => this._wake(), this._options.every ?? EVERY);
    }
  }

  private _shown = new Set<Key>();
  private readonly _values = new Map<Key, readonly number[]>();
  private _active = false;
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _abort: AbortController | null = null;
}

const NONE: readonly number[] = [];
