/** With whom one service is shared, and what some person may do with it: asked for while somebody looks at that. */
import type { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { Access, ApiError, Key, ServiceEvent, ShareInfo, ShareRequest, UseList } from '../api';
import { Changes } from './changes';
import type { ServicesModel } from './services';

export class AccessModel implements IDisposable {
  constructor(
    private readonly _services: ServicesModel,
    private readonly _key: Key
  ) {
    _services.happened.connect(this._onEvent, this);
  }

  get changed(): ISignal<this, void> {
    return this._changes.signal;
  }

  /** Null until it is known. Its `person` is the one that was asked about. */
  get access(): Access | null {
    return this._access;
  }

  /** Null until it is known. */
  get uses(): UseList | null {
    return this._uses;
  }

  /** Whether there is anybody to share with; null until it is known. */
  get people(): boolean | null {
    return this._people;
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

  /** Never rejects: what is wrong is `problem`. */
  async refresh(): Promise<void> {
    try {
      await this._look(this._user);
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
      this._problem = error.message;
    }
    this._changes.soon();
  }

  // --- they reject with the ApiError of the refusal ----------------------------------------------------------

  /** In the place of what was shared with the same user or group. */
  async share(kind: ShareInfo['kind'], name: string, body: ShareRequest): Promise<void> {
    await this._services.api.share(this._key, kind, name, body);
    await this.refresh();
  }

  async unshare(kind: ShareInfo['kind'], name: string): Promise<void> {
    await this._services.api.unshare(this._key, kind, name);
    await this.refresh();
  }

  /** What this user may do, and why; null: of nobody in particular. */
  async ask(user: string | null): Promise<void> {
    await this._look(user);
    this._user = user;
    this._changes.now();
  }

  /** Of two that are under way the one that was asked later counts: it knows of what was changed in between. */
  private async _look(user: string | null): Promise<void> {
    const turn = ++this._turn;
    const { api } = this._services;
    const [access, { people }, uses] = await Promise.all([
      api.access(this._key, user),
      api.gateway(),
      api.uses(this._key)
    ]);
    if (turn === this._turn) {
      this._access = access;
      this._people = people;
      this._uses = uses;
      this._problem = null;
    }
  }

  /** Somebody else may share it, too. */
  private _onEvent(_: ServicesModel, event: ServiceEvent): void {
    if (this._shown && event.service === this._key && event.kind.endsWith('shared')) {
      void this.refresh();
    }
  }

  private readonly _changes = new Changes<this>(this);
  private _access: Access | null = null;
  private _uses: UseList | null = null;
  private _people: boolean | null = null;
  private _problem: string | null = null;
  private _user: string | null = null;
  private _shown = false;
  private _turn = 0;
  private _ended = false;
}
