/** The services as they are known: of a stream that tells them in order, and of answers that it overtakes. */
import { Key, keyOf, Service } from '../api';

export class Known {
  /** By owner and name. */
  get all(): readonly Service[] {
    this._keys ??= [...this._services.values()]
      .sort((a, b) => a.owner.localeCompare(b.owner) || a.name.localeCompare(b.name))
      .map(keyOf);
    this._all ??= this._keys.map(key => this._services.get(key)!);
    return this._all;
  }

  get(key: Key): Service | null {
    return this._services.get(key) ?? null;
  }

  /** To be called before something is asked: the answer holds only for services of which nothing came meanwhile. */
  asked(): number {
    return this._moment;
  }

  /** The stream says what it is now. */
  tell(service: Service): void {
    this._set(keyOf(service), service, ++this._moment);
  }

  /** The stream says that it is gone. */
  remove(key: Key): void {
    this._set(key, null, ++this._moment);
  }

  /** Whether that is taken: an answer to `DELETE` says "deleting", and comes after the stream has said "removed". */
  answer(service: Service, asked: number): boolean {
    const key = keyOf(service);
    const newest = !this._isNewer(key, asked);
    if (newest) {
      this._set(key, service, ++this._moment);
    }
    return newest;
  }

  /** @param complete whether the stream was open all the while: it tells what happened after the list was made, so that
   *   no answer to something asked before is of any use. */
  list(services: readonly Service[], asked: number, complete: boolean): void {
    const found = new Map(services.map(each => [keyOf(each), each]));
    const moment = ++this._moment;
    for (const key of new Set([...found.keys(), ...this._services.keys()])) {
      if (!this._isNewer(key, asked)) {
        this._set(key, this._same(key, found.get(key)), complete ? moment : (this._told.get(key) ?? 0));
      }
    }
  }

  private _isNewer(key: Key, asked: number): boolean {
    return (this._told.get(key) ?? 0) > asked;
  }

  /** The former one where nothing has changed: what is drawn of it stays. */
  private _same(key: Key, found: Service | undefined): Service | null {
    const former = this._services.get(key);
    return former !== undefined && JSON.stringify(former) === JSON.stringify(found)
      ? former
      : (found ?? null);
  }

  private _set(key: Key, service: Service | null, moment: number): void {
    this._told.set(key, moment);
    this._all = null;
    if (this._services.has(key) !== (service !== null)) {
      this._keys = null;
    }
    if (service === null) {
      this._services.delete(key);
    } else {
      this._services.set(key, service);
    }
  }

  private readonly _services = new Map<Key, Service>();
  /** When the newest of each came, in turns of `_moment`; of those that are gone, too. */
  private readonly _told = new Map<Key, number>();
  private _moment = 0;
  private _keys: readonly Key[] | null = null;
  private _all: readonly Service[] | null = null;
}
