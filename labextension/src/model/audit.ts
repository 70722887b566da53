/** Who did what with one service, and what was denied to whom: asked for while somebody looks at that. */
import type { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { ApiError, AuditEntry, Key, ServiceEvent } from '../api';
import { Changes } from './changes';
import type { ServicesModel } from './services';

const FIRST = 100; // entries, and so many more each time that older ones are asked for
const MOST = 1000; // that the gateway tells at once; all of them are in the file

export class AuditModel implements IDisposable {
  constructor(
    private readonly _services: ServicesModel,
    private readonly _key: Key
  ) {
    _services.happened.connect(this._onEvent, this);
  }

  get changed(): ISignal<this, void> {
    return this._changes.signal;
  }

  /** The newest, oldest first; null until they are known. */
  get entries(): readonly AuditEntry[] | null {
    return this._entries;
  }

  /** Whether there are older ones that can be shown here. */
  get more(): boolean {
    return this._entries !== null && this._entries.length >= this._wanted && this._wanted < MOST;
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
    this._services.happened.disconnect(this._onEvent, this);
    this._changes.dispose();
    Signal.clearData(this);
  }

  /** Never rejects: what is wrong is `problem`. Of two that are under way the one that was asked later counts. */
  async refresh(): Promise<void> {
    const turn = ++this._turn;
    try {
      const { entries } = await this._services.api.audit(this._key, { limit: this._wanted, newest: true });
      if (turn === this._turn) {
        this._entries = entries;
        this._problem = null;
      }
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

  async older(): Promise<void> {
    this._wanted = Math.min(MOST, this._wanted + FIRST);
    await this.refresh();
  }

  /** All that there is, a line of JSON each, oldest first. Rejects with the ApiError of the refusal. */
  async lines(): Promise<string> {
    const found: string[] = [];
    for (let after = 0; ;) {
      const { entries, next } = await this._services.api.audit(this._key, { limit: MOST, after });
      found.push(...entries.map(each => `${JSON.stringify(each)}\n`));
      if (entries.length < MOST || next <= after) {
        return found.join('');
      }
      after = next;
    }
  }

  /** What is done leaves an event, too. */
  private _onEvent(_: ServicesModel, event: ServiceEvent): void {
    if (this._shown && event.service === this._key) {
      void this.refresh();
    }
  }

  private readonly _changes = new Changes<this>(this);
  private _entries: readonly AuditEntry[] | null = null;
  private _problem: string | null = null;
  private _wanted = FIRST;
  private _shown = false;
  private _turn = 0;
  private _ended = false;
}
