/** One service in view: what it is, what it did, and what it measured, kept current while somebody looks at it. */
import { DisposableDelegate, IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import {
  ApiError,
  Autoscaling,
  AutoscalingChange,
  AutoscalingRequest,
  Decision,
  Key,
  NewToken,
  RuleSpec,
  ScheduleSpec,
  Series,
  Service,
  ServiceEvent,
  Token,
  TokenChange,
  TokenRequest,
  UpdateRequest
} from '../api';
import { may } from '../roles';
import { AccessModel } from './access';
import { AuditModel } from './audit';
import { Changes } from './changes';
import { LogModel } from './logs';
import type { ServicesModel } from './services';

const MOST_EVENTS = 500;
const MOST_DECISIONS = 50;
const DEFAULT_SPAN = 900;

export class ServiceModel implements IDisposable {
  /** Made by `ServicesModel.open`, which shares it and ends it with its last user. */
  constructor(
    readonly services: ServicesModel,
    readonly key: Key,
    private readonly _released: () => void
  ) {
    this.logs = new LogModel(
      services.api,
      key,
      () => this._watchers > 0 && services.active,
      () => this.service?.replica_list ?? []
    );
    this.access = new AccessModel(services, key);
    this.audit = new AuditModel(services, key);
    services.changed.connect(this._onServices, this);
    services.happened.connect(this._onEvent, this);
    services.activeChanged.connect(this._wake, this);
  }

  readonly logs: LogModel;
  readonly access: AccessModel;
  readonly audit: AuditModel;

  get changed(): ISignal<this, void> {
    return this._changes.signal;
  }

  /** Null before it is known, and when it is gone. */
  get service(): Service | null {
    return this._full ?? this.services.service(this.key);
  }

  /** It was there, or was asked for, and is not there (any more). */
  get gone(): boolean {
    return this._gone;
  }

  /** Why the last look at it failed, in one sentence. */
  get problem(): string | null {
    return this._problem;
  }

  /** What was measured over the last `span` seconds; null until it is known. */
  get series(): Series | null {
    return this._series;
  }

  get span(): number {
    return this._span;
  }

  set span(seconds: number) {
    if (seconds !== this._span) {
      this._span = seconds;
      this._series = null;
      this._changes.now();
      this._wake();
    }
  }

  /** Oldest first. */
  get events(): readonly ServiceEvent[] {
    return this._events;
  }

  /** Of the autoscaler, oldest first. */
  get decisions(): readonly Decision[] {
    return this._decisions;
  }

  /** Whether they are on the screen: they are not asked for before, and are the most of what comes each time. */
  get decisionsShown(): boolean {
    return this._decisionsShown;
  }

  set decisionsShown(shown: boolean) {
    if (shown !== this._decisionsShown) {
      this._decisionsShown = shown;
      if (shown) {
        this._wake();
      }
    }
  }

  /** Null until they are known. */
  get tokens(): readonly Token[] | null {
    return this._tokens;
  }

  get pending(): string | null {
    return this.services.pending(this.key);
  }

  get isDisposed(): boolean {
    return this._ended;
  }

  /** One user less; the last one ends it. */
  dispose(): void {
    this._released();
  }

  /** Called by the list when the last user has gone. */
  end(): void {
    this._ended = true;
    this._abort?.abort();
    clearTimeout(this._timer);
    this.services.changed.disconnect(this._onServices, this);
    this.services.happened.disconnect(this._onEvent, this);
    this.services.activeChanged.disconnect(this._wake, this);
    this.logs.dispose();
    this.access.dispose();
    this.audit.dispose();
    this._changes.dispose();
    Signal.clearData(this);
  }

  /** Keep it current until the answer is disposed of: a view that can be seen. */
  watch(): IDisposable {
    const list = this.services.watch();
    this._watchers += 1;
    this._wake();
    return new DisposableDelegate(() => {
      this._watchers -= 1;
      list.dispose();
      this._wake();
    });
  }

  /** Never rejects: what is wrong is `problem`, or that it is `gone`. */
  async refresh(): Promise<void> {
    const { api } = this.services;
    const asked = this.services._asking();
    try {
      const [service, events] = await Promise.all([api.get(this.key), api.events(this.key, MOST_EVENTS)]);
      const tokens = may(service, 'owner') ? await api.tokens(this.key) : []; // nobody else is told of them
      this._problem = null;
      this._tokens = tokens;
      const newest = events[events.length - 1]?.id ?? 0;
      this._events = [...events, ...this._events.filter(each => each.id > newest)];
      this._full = service;
      this._seen = true;
      this._gone = false;
      this.services._take(service, asked);
      this._onServices(); // of which something newer may be known
      await this._refreshDecisions();
    } catch (error) {
      this._fail(error);
    }
    this._changes.soon();
  }

  // --- verbs: they reject with the ApiError of the refusal ---------------------------------------------------

  scale(replicas: number): Promise<void> {
    return this.services.scale(this.key, replicas);
  }

  update(body: UpdateRequest): Promise<void> {
    return this.services.update(this.key, body);
  }

  rollback(revision: number | null = null): Promise<void> {
    return this.services.rollback(this.key, revision);
  }

  restart(): Promise<void> {
    return this.services.restart(this.key);
  }

  stop(): Promise<void> {
    return this.services.stop(this.key);
  }

  start(): Promise<void> {
    return this.services.start(this.key);
  }

  remove(): Promise<void> {
    return this.services.remove(this.key);
  }

  setAutoscaling(body: AutoscalingRequest): Promise<void> {
    return this._scaling(api => api.setAutoscaling(this.key, body));
  }

  changeAutoscaling(body: AutoscalingChange): Promise<void> {
    return this._scaling(api => api.changeAutoscaling(this.key, body));
  }

  async clearAutoscaling(): Promise<void> {
    const { api, trans } = this.services;
    await this.services._do(this.key, trans.__('Ending autoscaling'), () => api.clearAutoscaling(this.key));
  }

  resume(): Promise<void> {
    return this._scaling(api => api.resume(this.key));
  }

  addRule(rule: RuleSpec): Promise<void> {
    return this._scaling(api => api.addRule(this.key, rule));
  }

  removeRule(id: string): Promise<void> {
    return this._scaling(api => api.removeRule(this.key, id));
  }

  addSchedule(schedule: ScheduleSpec): Promise<void> {
    return this._scaling(api => api.addSchedule(this.key, schedule));
  }

  removeSchedule(id: string): Promise<void> {
    return this._scaling(api => api.removeSchedule(this.key, id));
  }

  /** The only time that the token itself is told. */
  async generateToken(body: TokenRequest): Promise<NewToken> {
    const made = await this.services.api.generateToken(this.key, body);
    await this._refreshTokens();
    return made;
  }

  /** As `generateToken`. */
  async rotateToken(id: string, overlap: number): Promise<NewToken> {
    const made = await this.services.api.rotateToken(this.key, id, overlap);
    await this._refreshTokens();
    return made;
  }

  async changeToken(id: string, change: TokenChange): Promise<void> {
    const changed = await this.services.api.changeToken(this.key, id, change);
    this.services._told(this.key, changed.notices);
    await this._refreshTokens();
  }

  async revokeToken(id: string): Promise<void> {
    await this.services.api.revokeToken(this.key, id);
    this._tokens = this._tokens?.filter(each => each.id !== id) ?? null;
    await this._refreshTokens();
  }

  // --- below -----------------------------------------------------------------------------------------------

  private _scaling(work: (api: ServicesModel['api']) => Promise<Autoscaling>): Promise<void> {
    const { api, trans } = this.services;
    return this.services._do(this.key, trans.__('Changing autoscaling'), async () => {
      const autoscaling = await work(api);
      const service = this.services.service(this.key) ?? (await api.get(this.key));
      return { ...service, autoscaling, notices: autoscaling.notices };
    });
  }

  /** After a change that is done, and is not undone by a list that cannot be had: a token is told only once. */
  private async _refreshTokens(): Promise<void> {
    try {
      this._tokens = await this.services.api.tokens(this.key);
      this._changes.now();
    } catch (error) {
      this._fail(error instanceof ApiError ? error : new ApiError(String(error), 0, 'status'));
    }
  }

  private async _refreshDecisions(): Promise<void> {
    if (this._decisionsShown && this.service?.autoscaling) {
      this._decisions = await this.services.api.decisions(this.key, MOST_DECISIONS);
    }
  }

  private _onServices(): void {
    const listed = this.services.service(this.key);
    if (listed === null) {
      if (this.services.status === 'ready' && this._seen) {
        this._gone = true;
        this._full = null;
      }
    } else {
      if (this._full !== null && listed !== this._full) {
        // The list knows nothing of the folder.
        const { changed, folder_gone, folder_changed } = this._full;
        const same = listed.revision === this._full.revision;
        this._full = same ? { ...listed, changed, folder_gone, folder_changed } : listed;
      }
      this._seen = true;
      this._gone = false;
    }
    this.logs.replicasChanged();
    this._changes.soon();
  }

  private _onEvent(_: ServicesModel, event: ServiceEvent): void {
    const newest = this._events[this._events.length - 1]?.id ?? 0;
    if (event.service === this.key && event.id > newest) {
      this._events = [...this._events.slice(1 - MOST_EVENTS), event];
      this._changes.soon();
    }
  }

  private _wake(): void {
    clearTimeout(this._timer);
    this._abort?.abort();
    this._abort = null;
    if (this._watchers > 0 && this.services.active && !this._ended) {
      this._abort = new AbortController();
      if (this._tokens === null || this._problem !== null) {
        void this.refresh();
      }
      void this._measure(this._abort.signal);
    }
    this.logs.wake();
  }

  private async _measure(signal: AbortSignal): Promise<void> {
    try {
      const since = this.services.now - this._span;
      const found = await this.services.api.series(this.key, since, undefined, signal);
      await this._refreshDecisions();
      if (signal.aborted) {
        return;
      }
      this._series = found;
      this._problem = null;
      this._changes.soon();
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      this._fail(error);
    }
    const step = this._series?.step ?? 5;
    this._timer = setTimeout(() => void this._measure(signal), 1000 * Math.min(30, Math.max(2, step)));
  }

  private _fail(error: unknown): void {
    if (!(error instanceof ApiError)) {
      throw error;
    }
    if (error.status === 404 && error.code !== 'no_route') {
      this._gone = true;
      this._full = null;
    } else {
      this._problem = error.message;
    }
    this._changes.soon();
  }

  private readonly _changes = new Changes<this>(this);
  private _full: Service | null = null;
  private _seen = false;
  private _gone = false;
  private _problem: string | null = null;
  private _series: Series | null = null;
  private _span = DEFAULT_SPAN;
  private _events: readonly ServiceEvent[] = [];
  private _decisions: readonly Decision[] = [];
  private _decisionsShown = false;
  private _tokens: readonly Token[] | null = null;
  private _watchers = 0;
  private _abort: AbortController | null = null;
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _ended = false;
}
