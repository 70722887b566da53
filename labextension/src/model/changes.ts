/** A signal that something has changed, at most once for each moment that an eye can tell. */
import { ISignal, Signal } from '@lumino/signaling';

const MOMENT = 16; // milliseconds: one picture of a screen

export class Changes<T> {
  constructor(private readonly _owner: T) {
    this._signal = new Signal<T, void>(_owner);
  }

  get signal(): ISignal<T, void> {
    return this._signal;
  }

  /** Soon, together with what else changes until then. */
  soon(): void {
    if (this._timer === null) {
      this._timer = setTimeout(() => this.now(), MOMENT);
    }
  }

  now(): void {
    this.cancel();
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
}
