/** The list of the user's services, kept as it is in the gateway while somebody looks at it, and what is done to them. */
import { ITranslator, nullTranslator, TranslationBundle } from '@jupyterlab/translation';
import { DisposableDelegate, IDisposable } from '@lumino/disposable';
import { Poll } from '@lumino/polling';
import { ISignal, Signal } from '@lumino/signaling';

import {
  Api,
  ApiError,
  Copy,
  CreateRequest,
  Key,
  keyOf,
  Offer,
  Service,
  ServiceEvent,
  Shared,
  Site,
  StreamMessage,
  UpdateRequest
} from '../api';
import { DOMAIN } from '../tokens';
import { Changes } from './changes';
import { Known } from './known';
import { ServiceModel } from './service';
import { Sparks } from './sparks';
import { EventStream, StreamOptions } from './stream';

const LONGEST = 15000; // milliseconds between two looks at a list that cannot be had
const SLOW = 3000; // milliseconds after which somebody should know that the list is not there yet
const RETRY = 2000; // milliseconds between two looks that other answers give reason for

/** `missing`: this Jupyter server has no model service. `too-old`: it has one that this panel cannot work with. */
export type Status = 'loading' | 'ready' | 'missing' | 'too-old' | 'error';

/** What somebody should know of a change that was asked for here. */
export interface Notices {
  key: Key;
  /** What it did besides, or what deserves a look. */
  sentences: readonly string[];
}

export interface ServicesOptions {
  api: Api;
  /** Whether the page itself can be seen. */
  isVisible?: () => boolean;
  translator?: ITranslator;
  /** For tests: the times of the event stream. */
  stream?: Partial<StreamOptions>;
  /** For tests: milliseconds until the list is called slow. */
  slow?: number;
}

export class ServicesModel implements IDisposable {
  constructor(options: ServicesOptions) {
    this.api = options.api;
    this._isVisible = options.isVisible ?? (() => !document.hidden);
    this.trans = (options.translator ?? nullTranslator).load(DOMAIN);
    this._slow = options.slow ?? SLOW;
    this._stream = new EventStream({ open: signal => this.api.stream(signal), ...options.stream });
    this._stream.message.connect(this._onMessage, this);
    this._stream.stateChanged.connect(this._onStreamState, this);
    this._poll = new Poll({
      name: 'jupyter-model-service:services',
      auto: false,
      factory: () => this._list(),
      frequency: { interval: 5000, backoff: true, max: LONGEST },
      standby: () => !this._wanted
    });
    this._sparks = new Sparks({ api: this.api, changed: () => this._changes.soon() });
    this.visibilityChanged = this.visibilityChanged.bind(this);
    this._lookNow = this._lookNow.bind(this);
    this.api.answered.connect(this._onAnswer, this);
    window.addEventListener('online', this._lookNow);
    document.addEventListener('visibilitychange', this.visibilityChanged);
  }

  readonly api: Api;
  readonly trans: TranslationBundle;

  /** Anything that is read from here. */
  get changed(): ISignal<this, void> {
    return this._changes.signal;
  }

  /** Each event of any service, as it happens. */
  get happened(): ISignal<this, ServiceEvent> {
    return this._happened;
  }

  /** Of changes that were asked for here, once each. */
  get noticed(): ISignal<this, Notices> {
    return this._noticed;
  }

  get status(): Status {
    return this._status;
  }

  /** What is wrong, in one sentence; null while nothing is. A list that is shown may be old then. */
  get problem(): string | null {
    return this._problem;
  }

  /** Unix time by the server's clock: what its times are compared with. */
  get now(): number {
    return this.api.now();
  }

  get connected(): 'stream' | 'polling' | 'no' {
    return this._stream.state === 'open'
      ? 'stream'
      : this._polling && this._problem === null
        ? 'polling'
        : 'no';
  }

  /** By owner and name. */
  get services(): readonly Service[] {
    return this._known.all;
  }

  /** Those that others let the user call, and not look into; by owner and name. */
  get shared(): readonly Shared[] {
    return [...this._shared.values()].sort((a, b) => keyOf(a).localeCompare(keyOf(b)));
  }

  service(key: Key): Service | null {
    return this._known.get(key);
  }

  /** Null until it is known. */
  get site(): Site | null {
    return this._site;
  }

  /** What can be asked for; null until it is known. It changes with the time: `refreshOffer`. */
  get offer(): Offer | null {
    return this._offer;
  }

  /** The address of the page for administrators; null for who is none, and until it is known. */
  get administration(): string | null {
    return this._administration;
  }

  /** Copies of folders that are being made, by service. */
  get copies(): ReadonlyMap<Key, Copy> {
    return this._copies;
  }

  /** Calls per second over the last quarter of an hour, oldest first; empty until they are known. */
  calls(key: Key): readonly number[] {
    return this._sparks.of(key);
  }

  /** Whose calls are to be known: the rows that can be seen. */
  showCalls(keys: readonly Key[]): void {
    this._sparks.show(keys);
  }

  /** What is being done to it now, in words. */
  pending(key: Key): string | null {
    return this._pending.get(key) ?? null;
  }

  /** How many replicas it is to have, with what was asked for just now taken in. */
  wanted(key: Key): number {
    return this._asked.get(key) ?? this._known.get(key)?.replicas.want ?? 0;
  }

  /** Milliseconds between two looks at the list while the event stream does not come through. */
  get pollInterval(): number {
    return this._poll.frequency.interval;
  }

  set pollInterval(interval: number) {
    this._poll.frequency = { interval, backoff: true, max: Math.max(LONGEST, interval) };
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  dispose(): void {
    if (this._disposed) {
      return;
    }
    this._disposed = true;
    document.removeEventListener('visibilitychange', this.visibilityChanged);
    window.removeEventListener('online', this._lookNow);
    this.api.answered.disconnect(this._onAnswer, this);
    clearTimeout(this._later);
    this._stream.dispose();
    this._poll.dispose();
    this._sparks.dispose();
    for (const { model } of this._open.values()) {
      model.end();
    }
    this._open.clear();
    this._changes.dispose();
    Signal.clearData(this);
  }

  /** Keep everything current until the answer is disposed of. */
  watch(): IDisposable {
    this._watchers += 1;
    this.visibilityChanged();
    return new DisposableDelegate(() => {
      this._watchers -= 1;
      this.visibilityChanged();
    });
  }

  /** To be called when `isVisible` may answer otherwise. */
  visibilityChanged(): void {
    if (this._disposed) {
      return;
    }
    this._sparks.active = this._wanted;
    if (this._wanted) {
      // Not after hello only: where the gateway has to be started, or a proxy holds streams back, that comes late.
      if (this._stream.state === 'closed' && this._listing === null) {
        void this._list().catch(() => undefined);
      }
      this._stream.start();
      void this._greet();
    } else {
      this._stream.stop();
    }
    this._visibility.emit(this._wanted);
  }

  /** Whether somebody looks: a watcher on a page that can be seen. */
  get active(): boolean {
    return this._wanted;
  }

  get activeChanged(): ISignal<this, boolean> {
    return this._visibility;
  }

  /** Never rejects: what is wrong is `problem`. */
  async refresh(): Promise<void> {
    await this._list().catch(() => undefined);
    await this._greet();
  }

  async refreshOffer(): Promise<Offer | null> {
    try {
      this._offer = await this.api.offer();
      this._changes.soon();
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
    }
    return this._offer;
  }

  // --- verbs: they reject with the ApiError of the refusal ---------------------------------------------------

  async create(body: CreateRequest): Promise<Service> {
    const asked = this._known.asked();
    const made = await this.api.create(body);
    this._take(made, asked);
    this._notice(made);
    return made;
  }

  /** Clicks that follow each other are sent one after the other, and of those that wait only the last. */
  async scale(key: Key, replicas: number): Promise<void> {
    const under = this._asked.has(key);
    this._asked.set(key, replicas);
    this._changes.now();
    if (under) {
      return this._scaling.get(key);
    }
    const work = this._scaleUntilSettled(key);
    this._scaling.set(key, work);
    return work;
  }

  private async _scaleUntilSettled(key: Key): Promise<void> {
    try {
      for (let sent: number | undefined; sent !== this._asked.get(key);) {
        sent = this._asked.get(key)!;
        const words = this.trans._n('Scaling to %1 replica', 'Scaling to %1 replicas', sent, sent);
        const asked = sent;
        await this._do(key, words, () => this.api.scale(key, asked));
      }
    } finally {
      this._asked.delete(key);
      this._scaling.delete(key);
      this._changes.now();
    }
  }

  update(key: Key, body: UpdateRequest): Promise<void> {
    return this._do(key, this.trans.__('Updating'), () => this.api.update(key, body));
  }

  rollback(key: Key, revision: number | null = null): Promise<void> {
    return this._do(key, this.trans.__('Rolling back'), () => this.api.rollback(key, revision));
  }

  restart(key: Key): Promise<void> {
    return this._do(key, this.trans.__('Restarting'), () => this.api.restart(key));
  }

  stop(key: Key): Promise<void> {
    return this._do(key, this.trans.__('Stopping'), () => this.api.stop(key));
  }

  start(key: Key): Promise<void> {
    return this._do(key, this.trans.__('Starting'), () => this.api.start(key));
  }

  remove(key: Key): Promise<void> {
    return this._do(key, this.trans.__('Deleting'), () => this.api.remove(key));
  }

  /** One service with its history. The same model for the same key; each `open` wants its `dispose`. */
  open(key: Key): ServiceModel {
    const found = this._open.get(key) ?? {
      model: new ServiceModel(this, key, () => this._release(key)),
      users: 0
    };
    found.users += 1;
    this._open.set(key, found);
    return found.model;
  }

  // --- below -----------------------------------------------------------------------------------------------

  /** Do something to a service, say so meanwhile, and take what it became. */
  async _do(key: Key, words: string, work: () => Promise<Service>): Promise<void> {
    const asked = this._known.asked();
    this._pending.set(key, words);
    this._changes.now();
    try {
      const became = await work();
      this._take(became, asked);
      this._notice(became);
    } catch (error) {
      if (error instanceof ApiError && error.code === 'not_found') {
        void this._list().catch(() => undefined); // what is shown of it is older than its end
      }
      throw error;
    } finally {
      if (this._pending.get(key) === words) {
        this._pending.delete(key);
      }
      this._changes.now();
    }
  }

  /** Before something is asked whose answer is to be taken. */
  _asking(): number {
    return this._known.asked();
  }

  /** An answer, unless something newer is known. */
  _take(service: Service, asked: number): void {
    this._known.answer(service, asked);
    this._changes.soon();
  }

  private _notice(answer: Service): void {
    this._told(keyOf(answer), answer.notices);
  }

  /** What was done besides; an older gateway tells of none. */
  _told(key: Key, sentences: string[] | undefined): void {
    if (sentences !== undefined && sentences.length > 0) {
      this._noticed.emit({ key, sentences });
    }
  }

  private _release(key: Key): void {
    const found = this._open.get(key);
    if (found !== undefined && --found.users === 0) {
      this._open.delete(key);
      found.model.end();
    }
  }

  private get _wanted(): boolean {
    return !this._disposed && this._watchers > 0 && this._isVisible();
  }

  private _onMessage(_: EventStream, message: StreamMessage): void {
    switch (message.kind) {
      case 'hello':
      case 'resync':
        this._opened += 1;
        void this._list().catch(() => undefined);
        break;
      case 'service':
        this._known.tell(message.service);
        this._tellShared(keyOf(message.service), null);
        this._changes.soon();
        break;
      case 'shared':
        this._tellShared(keyOf(message.shared), message.shared);
        this._changes.soon();
        break;
      case 'removed':
        this._known.remove(message.key);
        this._tellShared(message.key, null);
        this._changes.soon();
        break;
      case 'event':
        this._happened.emit(message.event);
        break;
      case 'copying':
        if (message.copy.over) {
          this._copies.delete(message.copy.service);
        } else {
          this._copies.set(message.copy.service, message.copy);
        }
        this._changes.soon();
        break;
    }
  }

  private _tellShared(key: Key, shared: Shared | null): void {
    if (shared !== null) {
      this._shared.set(key, shared);
    }
    if (shared !== null || this._shared.delete(key)) {
      this._sharedTold += 1;
    }
  }

  private _onStreamState(stream: EventStream): void {
    // While it opens again after a failure the list is still asked for: it may open for nothing.
    const polling = stream.state === 'waiting' || (stream.state === 'opening' && this._polling);
    if (polling && !this._polling) {
      void this._poll.start();
      void this._poll.refresh();
    } else if (!polling && this._polling) {
      void this._poll.stop();
    }
    this._polling = polling;
    this._changes.soon();
  }

  /** One at a time; whoever asks meanwhile gets one that begins afterwards. */
  private _list(): Promise<void> {
    if (this._listing === null) {
      this._listing = this._listOnce().finally(() => {
        this._listing = null;
      });
      return this._listing;
    }
    this._again ??= this._listing
      .catch(() => undefined)
      .then(() => {
        this._again = null;
        return this._list();
      });
    return this._again;
  }

  private async _listOnce(): Promise<void> {
    const asked = this._known.asked();
    const opened = this._opened;
    const told = this._sharedTold;
    const slow = setTimeout(() => {
      if (this._status === 'ready') {
        this._problem ??= this.trans.__('The Jupyter server is slow to answer.');
        this._changes.soon();
      }
    }, this._slow);
    try {
      const { services, shared } = await this.api.list();
      if (told === this._sharedTold) {
        this._shared = new Map(shared.map(each => [keyOf(each), each]));
      } else {
        void this._list().catch(() => undefined); // the stream knows of some more than this list
      }
      this._known.list(services, asked, opened === this._opened && this._stream.state === 'open');
      this._problem = this._tooOld ? this._tooOldSentence : null;
      this._status = this._tooOld ? 'too-old' : 'ready';
      this._changes.soon();
      this._unreachable = false;
      clearTimeout(this._later);
    } catch (error) {
      this._unreachable = error instanceof ApiError && error.code === 'unreachable';
      this._fail(error);
      clearTimeout(this._later);
      if (this._stream.state === 'open') {
        this._later = setTimeout(this._lookNow, this.pollInterval); // nothing else will
      }
      throw error;
    } finally {
      clearTimeout(slow);
    }
  }

  /** After an outage whoever hears of the server first wakes the others: they wait, for up to a quarter of a minute. */
  private _onAnswer(): void {
    if (this._unreachable && this._wanted && performance.now() - this._retried > RETRY) {
      this._lookNow();
    }
  }

  private _lookNow(): void {
    if (this._wanted) {
      this._retried = performance.now();
      this._stream.retry();
      if (this._polling) {
        void this._poll.refresh();
      } else {
        void this._list().catch(() => undefined);
      }
    }
  }

  private _fail(error: unknown): void {
    const missing = error instanceof ApiError && error.code === 'no_route';
    this._problem = missing
      ? this.trans.__(
          'This Jupyter server has no model service: install jupyter-model-service where it runs, and restart it.'
        )
      : error instanceof Error
        ? error.message
        : String(error);
    this._status = missing ? 'missing' : this._status === 'ready' ? 'ready' : 'error';
    this._changes.soon();
  }

  /** What the server is: asked once, and again after a failure. */
  private async _greet(): Promise<void> {
    if (this._site !== null || this._greeting) {
      return;
    }
    this._greeting = true;
    try {
      const asked = Promise.all([this.api.site(), this.refreshOffer(), this._askAdministration()]);
      [this._site] = await asked;
      this._tooOld = false;
    } catch (error) {
      this._tooOld = error instanceof ApiError && error.code === 'no_route';
    } finally {
      this._greeting = false;
    }
    if (this._tooOld && this._status === 'ready') {
      this._status = 'too-old';
      this._problem = this._tooOldSentence;
    }
    this._changes.soon();
  }

  /** There is no link where it cannot be told: an older gateway has none. */
  private async _askAdministration(): Promise<void> {
    try {
      this._administration = (await this.api.gateway()).administration ?? null;
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
    }
  }

  private get _tooOldSentence(): string {
    return this.trans.__(
      'The model service of this Jupyter server is too old for this panel: update jupyter-model-service there, and restart it.'
    );
  }

  private readonly _isVisible: () => boolean;
  private readonly _slow: number;
  private readonly _stream: EventStream;
  private readonly _poll: Poll;
  private readonly _sparks: Sparks;
  private readonly _changes = new Changes<this>(this);
  private readonly _happened = new Signal<this, ServiceEvent>(this);
  private readonly _noticed = new Signal<this, Notices>(this);
  private readonly _visibility = new Signal<this, boolean>(this);
  private readonly _pending = new Map<Key, string>();
  private readonly _asked = new Map<Key, number>();
  private readonly _scaling = new Map<Key, Promise<void>>();
  private readonly _copies = new Map<Key, Copy>();
  private readonly _open = new Map<Key, { model: ServiceModel; users: number }>();
  private readonly _known = new Known();
  private _shared = new Map<Key, Shared>();
  private _sharedTold = 0; // how often the stream has said something of them
  private _opened = 0; // how often the stream has begun to tell everything
  private _site: Site | null = null;
  private _offer: Offer | null = null;
  private _administration: string | null = null;
  private _status: Status = 'loading';
  private _problem: string | null = null;
  private _tooOld = false;
  private _unreachable = false;
  private _retried = -Infinity;
  private _later: ReturnType<typeof setTimeout> | undefined;
  private _greeting = false;
  private _polling = false;
  private _listing: Promise<void> | null = null;
  private _again: Promise<void> | null = null;
  private _watchers = 0;
  private _disposed = false;
}
