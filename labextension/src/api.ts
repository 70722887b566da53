/** The only file that talks to the server: the gateway's control API as Jupyter forwards it, the extension's own routes,
 * and the endpoints of the services. */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator, TranslationBundle } from '@jupyterlab/translation';
import { ISignal, Signal } from '@lumino/signaling';

import { isText } from './format';
import { serverSentEvents, sizes, texts } from './sse';
import { DOMAIN } from './tokens';
import { Turns } from './turns';
import type {
  Access,
  AuditList,
  Autoscaling,
  AutoscalingChange,
  AutoscalingRequest,
  CallAnswer,
  CallRequest,
  Check,
  CheckRequest,
  CreateRequest,
  Decision,
  Draft,
  DraftRequest,
  DryRunEvent,
  DryRunRequest,
  DryRunState,
  FolderInfo,
  Gateway,
  Key,
  Listed,
  LogAnswer,
  NewToken,
  Offer,
  Problem,
  RuleSpec,
  SampleRequest,
  ScheduleSpec,
  Series,
  Service,
  ServiceEvent,
  ShareInfo,
  ShareRequest,
  Site,
  StreamMessage,
  Token,
  TokenChange,
  TokenRequest,
  UpdateRequest,
  UseList,
  ValidateAnswer
} from './types';
import { failure } from './words';

export * from './types';

/** The server refused, or could not be reached. `message` is one sentence for people. */
export class ApiError extends Error {
  /**
   * @param status of HTTP; 0: the server could not be reached.
   * @param code of the error, such as `not_found`; `no_route` where the server does not know the address at all, and
   *   `unreachable` where there was no answer.
   * @param problems of a definition, where that is what is wrong.
   */
  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
    readonly problems: readonly Problem[] = []
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

const API = 'model-service/api/v1';
const WORKBENCH = 'model-service/workbench/v1';

const PATIENCE = 10000; // milliseconds for an answer to a question; a change may take its time
const AT_ONCE = 2; // questions, of the six connections that a browser has to a server

type Query = Record<string, string | number | boolean | null | undefined>;

interface Asked {
  query?: Query;
  body?: unknown;
  signal?: AbortSignal;
  /** Milliseconds for a whole answer to a question. */
  patience?: number;
  /** It may wait until nothing else does. */
  later?: boolean;
}

export class ModelServiceApi {
  constructor(
    readonly settings: ServerConnection.ISettings,
    private readonly _patience = PATIENCE,
    trans: TranslationBundle | null = null
  ) {
    this._trans = trans ?? nullTranslator.load(DOMAIN);
  }

  /** Unix time as the server has it, which is what all times that it tells are measured with. */
  now(): number {
    return Date.now() / 1000 + this._ahead;
  }

  /** The server has done what it was asked: it can be reached. */
  get answered(): ISignal<unknown, void> {
    return this._answered;
  }

  // --- what there is ---------------------------------------------------------------------------------------

  site(): Promise<Site> {
    return this._json('GET', `${WORKBENCH}/site`);
  }

  gateway(): Promise<Gateway> {
    return this._json('GET', `${API}/`);
  }

  offer(): Promise<Offer> {
    return this._json('GET', `${API}/offer`);
  }

  /** An older gateway shares nothing. */
  async list(signal?: AbortSignal): Promise<Listed> {
    const { services, shared } = await this._json<Listed>('GET', `${API}/services`, { signal });
    return { services, shared: shared ?? [] };
  }

  get(key: Key): Promise<Service> {
    return this._json('GET', of(key));
  }

  // --- services --------------------------------------------------------------------------------------------

  validate(folder: string): Promise<ValidateAnswer> {
    return this._json('POST', `${API}/validate`, { body: { folder } });
  }

  create(body: CreateRequest): Promise<Service> {
    return this._json('POST', `${API}/services`, { body });
  }

  update(key: Key, body: UpdateRequest): Promise<Service> {
    return this._json('POST', of(key, 'update'), { body });
  }

  scale(key: Key, replicas: number): Promise<Service> {
    return this._json('PUT', of(key, 'scale'), { body: { replicas } });
  }

  /** Without a revision: to the one that was fully up before the active one. */
  rollback(key: Key, revision: number | null = null): Promise<Service> {
    return this._json('POST', of(key, 'rollback'), { body: { revision } });
  }

  restart(key: Key): Promise<Service> {
    return this._json('POST', of(key, 'restart'));
  }

  stop(key: Key): Promise<Service> {
    return this._json('POST', of(key, 'stop'));
  }

  start(key: Key): Promise<Service> {
    return this._json('POST', of(key, 'start'));
  }

  remove(key: Key): Promise<Service> {
    return this._json('DELETE', of(key));
  }

  // --- autoscaling -----------------------------------------------------------------------------------------

  setAutoscaling(key: Key, body: AutoscalingRequest): Promise<Autoscaling> {
    return this._json('PUT', of(key, 'autoscaling'), { body });
  }

  /** What is left out stays as it is; null: its default. */
  changeAutoscaling(key: Key, body: AutoscalingChange): Promise<Autoscaling> {
    return this._json('PATCH', of(key, 'autoscaling'), { body });
  }

  clearAutoscaling(key: Key): Promise<Service> {
    return this._json('DELETE', of(key, 'autoscaling'));
  }

  resume(key: Key): Promise<Autoscaling> {
    return this._json('POST', of(key, 'autoscaling/resume'));
  }

  addRule(key: Key, rule: RuleSpec): Promise<Autoscaling> {
    return this._json('POST', of(key, 'autoscaling/rules'), { body: rule });
  }

  removeRule(key: Key, id: string): Promise<Autoscaling> {
    return this._json('DELETE', of(key, `autoscaling/rules/${encodeURIComponent(id)}`));
  }

  addSchedule(key: Key, schedule: ScheduleSpec): Promise<Autoscaling> {
    return this._json('POST', of(key, 'autoscaling/schedules'), { body: schedule });
  }

  removeSchedule(key: Key, id: string): Promise<Autoscaling> {
    return this._json('DELETE', of(key, `autoscaling/schedules/${encodeURIComponent(id)}`));
  }

  // --- what happened ---------------------------------------------------------------------------------------

  async decisions(key: Key, limit = 20): Promise<Decision[]> {
    const answer = await this._json<{ decisions: Decision[] }>('GET', of(key, 'decisions'), {
      query: { limit }
    });
    return answer.decisions;
  }

  /** `since` is Unix time, `step` seconds between two points at least. */
  series(key: Key, since: number, step?: number, signal?: AbortSignal): Promise<Series> {
    return this._json('GET', of(key, 'series'), { query: { since, step }, signal, later: true });
  }

  /** Of several at once, without those that are not there; of all their figures those that are named. */
  async seriesOf(
    keys: readonly Key[],
    values: readonly string[],
    since: number,
    step: number,
    signal?: AbortSignal
  ): Promise<Record<Key, Series>> {
    const query = { services: keys.join(), values: values.join(), since, step };
    const answer = await this._json<{ services: Record<Key, Series> }>('GET', `${API}/series`, {
      query,
      signal,
      later: true
    });
    return answer.services;
  }

  /** The newest `limit` with an id greater than `after`, oldest first. */
  async events(key: Key, limit = 100, after = 0): Promise<ServiceEvent[]> {
    const answer = await this._json<{ events: ServiceEvent[] }>('GET', of(key, 'events'), {
      query: { limit, after }
    });
    return answer.events;
  }

  /** Without a replica: of the newest. `after` is `next` of the former answer. */
  logs(
    key: Key,
    query: { replica?: string | null; after?: number; limit?: number } = {},
    signal?: AbortSignal
  ): Promise<LogAnswer> {
    return this._json('GET', of(key, 'logs'), { query, signal });
  }

  // --- tokens ----------------------------------------------------------------------------------------------

  async tokens(key: Key): Promise<Token[]> {
    const answer = await this._json<{ tokens: Token[] }>('GET', of(key, 'tokens'));
    return answer.tokens;
  }

  generateToken(key: Key, body: TokenRequest): Promise<NewToken> {
    return this._json('POST', of(key, 'tokens'), { body });
  }

  changeToken(key: Key, id: string, body: TokenChange): Promise<Token> {
    return this._json('PATCH', of(key, `tokens/${encodeURIComponent(id)}`), { body });
  }

  /** The former one goes on for `overlap` seconds. */
  rotateToken(key: Key, id: string, overlap: number): Promise<NewToken> {
    return this._json('POST', of(key, `tokens/${encodeURIComponent(id)}/rotate`), { body: { overlap } });
  }

  async revokeToken(key: Key, id: string): Promise<void> {
    await this._json('DELETE', of(key, `tokens/${encodeURIComponent(id)}`));
  }

  /** Who called how often, by day. */
  uses(key: Key): Promise<UseList> {
    return this._json('GET', of(key, 'uses'));
  }

  // --- who may -----------------------------------------------------------------------------------------------

  /** With `user` also what she may do, and why. */
  access(key: Key, user: string | null = null): Promise<Access> {
    return this._json('GET', of(key, 'access'), { query: { user } });
  }

  share(key: Key, kind: ShareInfo['kind'], name: string, body: ShareRequest): Promise<ShareInfo> {
    return this._json('PUT', of(key, `access/${kind}/${encodeURIComponent(name)}`), { body });
  }

  async unshare(key: Key, kind: ShareInfo['kind'], name: string): Promise<void> {
    await this._json('DELETE', of(key, `access/${kind}/${encodeURIComponent(name)}`));
  }

  /** Whose pages may call it from a browser (CORS), in the place of the former ones. */
  allowOrigins(key: Key, origins: readonly string[]): Promise<Access> {
    return this._json('PUT', of(key, 'access/origins'), { body: { origins } });
  }

  /** Who did what with it. The first `limit` with an id greater than `after`, or the newest; oldest first. */
  audit(key: Key, query: { limit?: number; after?: number; newest?: boolean } = {}): Promise<AuditList> {
    return this._json('GET', of(key, 'audit'), { query });
  }

  // --- beside the notebook ---------------------------------------------------------------------------------

  /** `path` as the file browser has it: relative to its root, without a drive. */
  folder(path: string): Promise<FolderInfo> {
    return this._json('GET', `${WORKBENCH}/folder`, { query: { path }, patience: 6 * this._patience });
  }

  /** Of a text that is not saved yet. */
  check(body: CheckRequest): Promise<Check> {
    return this._json('POST', `${WORKBENCH}/checks`, { body });
  }

  draft(body: DraftRequest): Promise<Draft> {
    return this._json('POST', `${WORKBENCH}/drafts`, { body });
  }

  async keepRequests(path: string, requests: SampleRequest[]): Promise<SampleRequest[]> {
    const answer = await this._json<{ requests: SampleRequest[] }>('PUT', `${WORKBENCH}/requests`, {
      query: { path },
      body: { requests }
    });
    return answer.requests;
  }

  async startDryRun(body: DryRunRequest): Promise<string> {
    const answer = await this._json<{ id: string }>('POST', `${WORKBENCH}/dry-runs`, { body });
    return answer.id;
  }

  dryRunState(id: string): Promise<DryRunState> {
    return this._json('GET', `${WORKBENCH}/dry-runs/${encodeURIComponent(id)}`);
  }

  async *dryRun(id: string, signal: AbortSignal): AsyncGenerator<DryRunEvent> {
    for await (const each of this._events(`${WORKBENCH}/dry-runs/${encodeURIComponent(id)}`, signal)) {
      if (
        each.event === 'phase' ||
        each.event === 'log' ||
        each.event === 'answer' ||
        each.event === 'outcome'
      ) {
        yield { kind: each.event, [each.event]: JSON.parse(each.data) } as unknown as DryRunEvent;
      }
    }
  }

  async stopDryRun(id: string): Promise<void> {
    await this._json('DELETE', `${WORKBENCH}/dry-runs/${encodeURIComponent(id)}`);
  }

  // --- streams and calls -----------------------------------------------------------------------------------

  /** Everything that changes, until the server ends it or `signal` does. List the services after `hello`. */
  async *stream(signal: AbortSignal): AsyncGenerator<StreamMessage> {
    for await (const each of this._events(`${API}/events`, signal)) {
      const message = streamMessage(each.event, each.data);
      if (message !== null) {
        yield message;
      }
    }
  }

  /** The address of a service's endpoint as this page reaches it, with a slash at the end. */
  endpointUrl(key: Key): string {
    return URLExt.join(this.settings.baseUrl, 'model-service/endpoints', path(key), '/');
  }

  async call(key: Key, request: CallRequest, signal: AbortSignal): Promise<CallAnswer> {
    const url = this._below(key, request.path);
    const began = performance.now();
    const answer = await this._request(url, {
      method: request.method,
      headers: request.headers,
      body: request.body,
      signal
    });
    let firstByteMs: number | null = null;
    let size = 0;
    const readable = isText(answer.headers.get('Content-Type'));
    async function* body(): AsyncGenerator<string> {
      if (answer.body === null) {
        return;
      }
      for await (const piece of readable ? texts(answer.body) : sizes(answer.body)) {
        firstByteMs ??= performance.now() - began;
        size += typeof piece === 'number' ? piece : 0;
        yield typeof piece === 'number' ? '' : piece;
      }
    }
    return {
      status: answer.status,
      statusText: answer.statusText,
      headers: [...answer.headers.entries()],
      headersMs: performance.now() - began,
      get firstByteMs() {
        return firstByteMs;
      },
      get size() {
        return size;
      },
      isText: readable,
      body: body()
    };
  }

  /** JupyterLab's page. */
  labUrl(query: string): string {
    return URLExt.join(this.settings.baseUrl, 'lab') + query;
  }

  /** Whether this Jupyter server has JupyterLab. A server that does not answer may have. */
  async hasLab(): Promise<boolean> {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), this._patience);
    try {
      return (await this._request(this.labUrl(''), { signal: abort.signal })).status !== 404;
    } catch {
      return true;
    } finally {
      clearTimeout(timer);
      abort.abort(); // of the page itself nothing is needed
    }
  }

  // --- below -----------------------------------------------------------------------------------------------

  /** A path may come from somebody else's folder, and Jupyter's own addresses are a few `..` away: the user's rights go
   * with the call. */
  private _below(key: Key, path: string): string {
    const endpoint = new URL(this.endpointUrl(key), window.location.href);
    const url = new URL(endpoint.href + path.replace(/^\/+/, ''));
    if (url.origin !== endpoint.origin || !url.pathname.startsWith(endpoint.pathname)) {
      throw new ApiError(failure('bad_path', {}, this._trans), 0, 'bad_path');
    }
    return url.href;
  }

  private async *_events(address: string, signal: AbortSignal) {
    const answer = await this._request(this._url(address), {
      headers: { Accept: 'text/event-stream' },
      signal
    });
    if (!answer.ok) {
      throw await refusal(answer, this._trans);
    }
    if (answer.body === null) {
      return;
    }
    yield* serverSentEvents(texts(answer.body));
  }

  /** Questions take turns, and are given up when they last too long: a server that hangs is to leave JupyterLab its
   * connections. */
  private _json<T>(method: string, address: string, asked: Asked = {}): Promise<T> {
    return method === 'GET'
      ? this._turns.run(() => this._inTime(method, address, asked), asked)
      : this._answer(method, address, asked);
  }

  private async _inTime<T>(method: string, address: string, asked: Asked): Promise<T> {
    const { signal, patience = this._patience } = asked;
    const abort = new AbortController();
    const end = () => abort.abort(signal?.reason);
    const timer = setTimeout(() => abort.abort(), patience);
    signal?.addEventListener('abort', end);
    try {
      return await this._answer<T>(method, address, { ...asked, signal: abort.signal });
    } catch (error) {
      if (!abort.signal.aborted || signal?.aborted) {
        throw error;
      }
      throw new ApiError(failure('unreachable', { patience }, this._trans), 0, 'unreachable');
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
    }
  }

  private async _answer<T>(method: string, address: string, { query, body, signal }: Asked): Promise<T> {
    const answer = await this._request(this._url(address, query), {
      method,
      signal,
      headers: {
        Accept: 'application/json',
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' })
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    });
    this._readClock(answer.headers.get('Date'));
    if (!answer.ok) {
      throw await refusal(answer, this._trans);
    }
    const said = (answer.status === 204 ? undefined : await answer.json()) as T;
    this._answered.emit();
    return said;
  }

  /** The header has whole seconds, and was written a while ago: less than 3 s are no difference. */
  private _readClock(header: string | null): void {
    const at = Date.parse(header ?? '') / 1000;
    const ahead = at + 0.5 - Date.now() / 1000;
    if (!isNaN(at) && Math.abs(ahead - this._ahead) > 3) {
      this._ahead = Math.abs(ahead) > 3 ? ahead : 0;
    }
  }

  private async _request(url: string, init: RequestInit): Promise<Response> {
    try {
      // Jupyter's default, "no-store", adds the time to the address: to a model's, too, and we forbid unknown words there.
      return await ServerConnection.makeRequest(url, { cache: 'no-cache', ...init }, this.settings);
    } catch (error) {
      if (init.signal?.aborted) {
        throw error;
      }
      throw new ApiError(failure('unreachable', {}, this._trans), 0, 'unreachable');
    }
  }

  private _url(address: string, query: Query = {}): string {
    const said = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
    const text = said.length > 0 ? `?${new URLSearchParams(said.map(([k, v]) => [k, String(v)]))}` : '';
    return URLExt.join(this.settings.baseUrl, address) + text;
  }

  private readonly _trans: TranslationBundle;
  private readonly _turns = new Turns(AT_ONCE);
  private readonly _answered = new Signal<this, void>(this);
  private _ahead = 0; // seconds that the server's clock is ahead of this one
}

/** What components and models need of it: tests hand in their own. */
export type Api = Pick<ModelServiceApi, keyof ModelServiceApi>;

function path(key: Key): string {
  return key.split('/').map(encodeURIComponent).join('/');
}

function of(key: Key, rest?: string): string {
  return `${API}/services/${path(key)}${rest === undefined ? '' : `/${rest}`}`;
}

async function refusal(answer: Response, trans: TranslationBundle): Promise<ApiError> {
  const text = await answer.text().catch(() => '');
  try {
    const found = JSON.parse(text);
    if (typeof found?.error?.message === 'string') {
      return new ApiError(found.error.message, answer.status, found.error.code, found.error.problems ?? []);
    }
    if (answer.status !== 404 && typeof found?.message === 'string' && found.message !== '') {
      return new ApiError(found.message, answer.status, 'jupyter');
    }
  } catch {
    // Not JSON: a page of Jupyter or of a proxy before it, of which only the status can be told.
  }
  const code = answer.status === 404 ? 'no_route' : 'status';
  return new ApiError(failure(code, answer, trans), answer.status, code);
}

function streamMessage(event: string, data: string): StreamMessage | null {
  switch (event) {
    case '':
      return { kind: 'heartbeat' };
    case 'hello':
    case 'resync':
      return { kind: event };
    case 'service':
      return { kind: 'service', service: JSON.parse(data) };
    case 'shared':
      return { kind: 'shared', shared: JSON.parse(data) };
    case 'removed':
      return { kind: 'removed', key: JSON.parse(data).service };
    case 'event':
      return { kind: 'event', event: JSON.parse(data) };
    case 'copying':
      return { kind: 'copying', copy: JSON.parse(data) };
    default:
      return null; // a newer server says more than we know
  }
}
