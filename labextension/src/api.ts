/** What the server is asked for: the gateway's control API as Jupyter forwards it, the extension's own routes, and the
 * endpoints of the services. Nothing else asks it for anything. */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { nullTranslator, TranslationBundle } from '@jupyterlab/translation';
import type { ISignal } from '@lumino/signaling';

import { ApiError, Connection, PATIENCE } from './connection';
import { isText } from './format';
import { sizes, texts } from './sse';
import { DOMAIN } from './tokens';
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

export { ApiError };
export * from './types';

const API = 'model-service/api/v1';
const WORKBENCH = 'model-service/workbench/v1';

export class ModelServiceApi {
  constructor(
    readonly settings: ServerConnection.ISettings,
    private readonly _patience = PATIENCE,
    trans: TranslationBundle | null = null
  ) {
    this._trans = trans ?? nullTranslator.load(DOMAIN);
    this._to = new Connection(settings, _patience, this._trans);
  }

  /** Unix time as the server has it, which is what all times that it tells are measured with. */
  now(): number {
    return this._to.now();
  }

  /** The server has done what it was asked: it can be reached. */
  get answered(): ISignal<unknown, void> {
    return this._to.answered;
  }

  // --- what there is ---------------------------------------------------------------------------------------

  site(): Promise<Site> {
    return this._to.json('GET', `${WORKBENCH}/site`);
  }

  gateway(): Promise<Gateway> {
    return this._to.json('GET', `${API}/`);
  }

  offer(): Promise<Offer> {
    return this._to.json('GET', `${API}/offer`);
  }

  /** An older gateway shares nothing. */
  async list(signal?: AbortSignal): Promise<Listed> {
    const { services, shared } = await this._to.json<Listed>('GET', `${API}/services`, { signal });
    return { services, shared: shared ?? [] };
  }

  get(key: Key): Promise<Service> {
    return this._to.json('GET', of(key));
  }

  // --- services --------------------------------------------------------------------------------------------

  validate(folder: string): Promise<ValidateAnswer> {
    return this._to.json('POST', `${API}/validate`, { body: { folder } });
  }

  create(body: CreateRequest): Promise<Service> {
    return this._to.json('POST', `${API}/services`, { body });
  }

  update(key: Key, body: UpdateRequest): Promise<Service> {
    return this._to.json('POST', of(key, 'update'), { body });
  }

  scale(key: Key, replicas: number): Promise<Service> {
    return this._to.json('PUT', of(key, 'scale'), { body: { replicas } });
  }

  /** Without a revision: to the one that was fully up before the active one. */
  rollback(key: Key, revision: number | null = null): Promise<Service> {
    return this._to.json('POST', of(key, 'rollback'), { body: { revision } });
  }

  restart(key: Key): Promise<Service> {
    return this._to.json('POST', of(key, 'restart'));
  }

  stop(key: Key): Promise<Service> {
    return this._to.json('POST', of(key, 'stop'));
  }

  start(key: Key): Promise<Service> {
    return this._to.json('POST', of(key, 'start'));
  }

  remove(key: Key): Promise<Service> {
    return this._to.json('DELETE', of(key));
  }

  // --- autoscaling -----------------------------------------------------------------------------------------

  setAutoscaling(key: Key, body: AutoscalingRequest): Promise<Autoscaling> {
    return this._to.json('PUT', of(key, 'autoscaling'), { body });
  }

  /** What is left out stays as it is; null: its default. */
  changeAutoscaling(key: Key, body: AutoscalingChange): Promise<Autoscaling> {
    return this._to.json('PATCH', of(key, 'autoscaling'), { body });
  }

  clearAutoscaling(key: Key): Promise<Service> {
    return this._to.json('DELETE', of(key, 'autoscaling'));
  }

  resume(key: Key): Promise<Autoscaling> {
    return this._to.json('POST', of(key, 'autoscaling/resume'));
  }

  addRule(key: Key, rule: RuleSpec): Promise<Autoscaling> {
    return this._to.json('POST', of(key, 'autoscaling/rules'), { body: rule });
  }

  removeRule(key: Key, id: string): Promise<Autoscaling> {
    return this._to.json('DELETE', of(key, `autoscaling/rules/${encodeURIComponent(id)}`));
  }

  addSchedule(key: Key, schedule: ScheduleSpec): Promise<Autoscaling> {
    return this._to.json('POST', of(key, 'autoscaling/schedules'), { body: schedule });
  }

  removeSchedule(key: Key, id: string): Promise<Autoscaling> {
    return this._to.json('DELETE', of(key, `autoscaling/schedules/${encodeURIComponent(id)}`));
  }

  // --- what happened ---------------------------------------------------------------------------------------

  async decisions(key: Key, limit = 20): Promise<Decision[]> {
    const answer = await this._to.json<{ decisions: Decision[] }>('GET', of(key, 'decisions'), {
      query: { limit }
    });
    return answer.decisions;
  }

  /** `since` is Unix time, `step` seconds between two points at least. */
  series(key: Key, since: number, step?: number, signal?: AbortSignal): Promise<Series> {
    return this._to.json('GET', of(key, 'series'), { query: { since, step }, signal, later: true });
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
    const answer = await this._to.json<{ services: Record<Key, Series> }>('GET', `${API}/series`, {
      query,
      signal,
      later: true
    });
    return answer.services;
  }

  /** The newest `limit` with an id greater than `after`, oldest first. */
  async events(key: Key, limit = 100, after = 0): Promise<ServiceEvent[]> {
    const answer = await this._to.json<{ events: ServiceEvent[] }>('GET', of(key, 'events'), {
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
    return this._to.json('GET', of(key, 'logs'), { query, signal });
  }

  // --- tokens ----------------------------------------------------------------------------------------------

  async tokens(key: Key): Promise<Token[]> {
    const answer = await this._to.json<{ tokens: Token[] }>('GET', of(key, 'tokens'));
    return answer.tokens;
  }

  generateToken(key: Key, body: TokenRequest): Promise<NewToken> {
    return this._to.json('POST', of(key, 'tokens'), { body });
  }

  changeToken(key: Key, id: string, body: TokenChange): Promise<Token> {
    return this._to.json('PATCH', of(key, `tokens/${encodeURIComponent(id)}`), { body });
  }

  /** The former one goes on for `overlap` seconds. */
  rotateToken(key: Key, id: string, overlap: number): Promise<NewToken> {
    return this._to.json('POST', of(key, `tokens/${encodeURIComponent(id)}/rotate`), { body: { overlap } });
  }

  async revokeToken(key: Key, id: string): Promise<void> {
    await this._to.json('DELETE', of(key, `tokens/${encodeURIComponent(id)}`));
  }

  /** Who called how often, by day. */
  uses(key: Key): Promise<UseList> {
    return this._to.json('GET', of(key, 'uses'));
  }

  // --- who may -----------------------------------------------------------------------------------------------

  /** With `user` also what she may do, and why. */
  access(key: Key, user: string | null = null): Promise<Access> {
    return this._to.json('GET', of(key, 'access'), { query: { user } });
  }

  share(key: Key, kind: ShareInfo['kind'], name: string, body: ShareRequest): Promise<ShareInfo> {
    return this._to.json('PUT', of(key, `access/${kind}/${encodeURIComponent(name)}`), { body });
  }

  async unshare(key: Key, kind: ShareInfo['kind'], name: string): Promise<void> {
    await this._to.json('DELETE', of(key, `access/${kind}/${encodeURIComponent(name)}`));
  }

  /** Whose pages may call it from a browser (CORS), in the place of the former ones. */
  allowOrigins(key: Key, origins: readonly string[]): Promise<Access> {
    return this._to.json('PUT', of(key, 'access/origins'), { body: { origins } });
  }

  /** Who did what with it. The first `limit` with an id greater than `after`, or the newest; oldest first. */
  audit(
    key: Key,
    query: { limit?: number; after?: number; before?: number; newest?: boolean } = {}
  ): Promise<AuditList> {
    return this._to.json('GET', of(key, 'audit'), { query });
  }

  // --- beside the notebook ---------------------------------------------------------------------------------

  /** `path` as the file browser has it: relative to its root, without a drive. */
  folder(path: string): Promise<FolderInfo> {
    return this._to.json('GET', `${WORKBENCH}/folder`, { query: { path }, patience: 6 * this._patience });
  }

  /** Of a text that is not saved yet. */
  check(body: CheckRequest): Promise<Check> {
    return this._to.json('POST', `${WORKBENCH}/checks`, { body });
  }

  draft(body: DraftRequest): Promise<Draft> {
    return this._to.json('POST', `${WORKBENCH}/drafts`, { body });
  }

  async keepRequests(path: string, requests: SampleRequest[]): Promise<SampleRequest[]> {
    const answer = await this._to.json<{ requests: SampleRequest[] }>('PUT', `${WORKBENCH}/requests`, {
      query: { path },
      body: { requests }
    });
    return answer.requests;
  }

  async startDryRun(body: DryRunRequest): Promise<string> {
    const answer = await this._to.json<{ id: string }>('POST', `${WORKBENCH}/dry-runs`, { body });
    return answer.id;
  }

  dryRunState(id: string): Promise<DryRunState> {
    return this._to.json('GET', `${WORKBENCH}/dry-runs/${encodeURIComponent(id)}`);
  }

  async *dryRun(id: string, signal: AbortSignal): AsyncGenerator<DryRunEvent> {
    for await (const each of this._to.events(`${WORKBENCH}/dry-runs/${encodeURIComponent(id)}`, signal)) {
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
    await this._to.json('DELETE', `${WORKBENCH}/dry-runs/${encodeURIComponent(id)}`);
  }

  // --- streams and calls -----------------------------------------------------------------------------------

  /** Everything that changes, until the server ends it or `signal` does. List the services after `hello`. */
  async *stream(signal: AbortSignal): AsyncGenerator<StreamMessage> {
    for await (const each of this._to.events(`${API}/events`, signal)) {
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
    const answer = await this._to.request(url, {
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
      return (await this._to.request(this.labUrl(''), { signal: abort.signal })).status !== 404;
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

  private readonly _trans: TranslationBundle;
  private readonly _to: Connection;
}

/** What components and models need of it: tests hand in their own. */
export type Api = Pick<ModelServiceApi, keyof ModelServiceApi>;

function path(key: Key): string {
  return key.split('/').map(encodeURIComponent).join('/');
}

function of(key: Key, rest?: string): string {
  return `${API}/services/${path(key)}${rest === undefined ? '' : `/${rest}`}`;
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
