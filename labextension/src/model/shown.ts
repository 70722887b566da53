/** Something of one service that is asked for while somebody looks at it, and again after what happens to the service. */
import type { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { ApiError, Key, ServiceEvent } from '../api';
import { Changes } from './changes';
import type { ServicesModel } from './services';

/** `T` is what the gateway answers. What is asked, and after which events again, is said by those that extend it. */
export abstract class ShownModel<T> implements IDisposable {
  constructor(
    protected readonly services: ServicesModel,
    protected readonly key: Key
  ) {
    services.happened.connect(this._onEvent, this);
  }

  get changed(): ISignal<this, void> {
    return this._changes.signal;
  }

  /** Why the last look at it failed, in one sentence. */
  get problem(): string | null {
    return this._problem;
  }

  /** Whether it is on the screen: it is not asked for before. */
  get shown(): boolean {
    return this._shown;
  }

  set shown(shown: boolean) {
    if (shown !== this._shown) {
      this._shown = shown;
      if (shown) {
        void this.refresh();
      }
    }
  }

  get isDisposed(): boolean {
    return this._ended;
  }

  dispose(): void {
    this._ended = true;
    this.services.happened.disconnect(this._onEvent, this);
    this._changes.dispose();
    Signal.clearData(this);
  }

  /** Never rejects: what is wrong is `problem`. */
  async refresh(): Promise<void> {
    const turn = this._turn + 1;
    try {
      await this.look(this.question());
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
      if (turn === this._turn) {
        this._problem = error.message;
      }
    }
    this._changes.soon();
  }

  /** The last answer; null until there is one. */
  protected get answer(): T | null {
    return this._answer;
  }

  protected abstract question(): Promise<T>;

  /** Whether the answer may be another one after this event of the service. */
  protected abstract concerns(event: ServiceEvent): boolean;

  /** Rejects with the ApiError of the refusal. Of two that are under way the one that was asked later counts: it knows of
   * what was changed in between. */
  protected async look(question: Promise<T>): Promise<void> {
    const turn = ++this._turn;
    const answer = await question;
    if (turn === this._turn) {
      this._answer = answer;
      this._problem = null;
    }
  }

  /** What came of something that was done here is told at once. */
  protected tell(): void {
    this._changes.now();
  }

  private _onEvent(_: ServicesModel, event: ServiceEvent): void {
    if (this._shown && event.service === this.key && this.concerns(event)) {
      void this.refresh();
    }
  }

  private readonly _changes = new Changes<this>(this);
  private _answer: T | null = null;
  private _problem: string | null = null;
  private _shown = false;
  private _turn = 0;
  private _ended = false;
}
