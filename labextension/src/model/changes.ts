/** A signal that something has changed, at most so often as an eye needs it. */
import { ISignal, Signal } from '@lumino/signaling';

const FRAME = 16; // milliseconds: one picture of a screen
const MOMENT = 150; // milliseconds between two: a hundred services that change 20 times a second cost 7 pictures of it

export class Changes<T> {
  constructor(private readonly _owner: T) {
    this._signal = new Signal<T, void>(_owner);
  }

  get signal(): ISignal<T, void> {
    return this._signal;
  }

  /** Soon, together with what else changes until then; after a while without any change at once. */
  soon(): void {
    if (this._timer === null) {
      const wait = Math.max(FRAME, this._last + MOMENT - performance.now());
      this._timer = setTimeout(() => this.now(), wait);
    }
  }

  now(): void {
    this.cancel();
    this._last = performance.now();
    this._signal.emit();
  }

  cancel(): void {
    if (this._timer !== null) {
      clearTimeout(this._timer);
      this._timer = null;
    }
  }

  dispose(): void {
    this.cancel();
    Signal.clearData(this._owner);
  }

  private readonly _signal: Signal<T, void>;
  private _timer: ReturnType<typeof setTimeout> | null = null;
  private _last = -MOMENT;
}
