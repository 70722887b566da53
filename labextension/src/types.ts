/** The words of the server, shortened. `generated.ts` is made of the OpenAPI document (`jlpm types`). */
import type * as wire from './generated';

export type {
  AccessInfo as Access,
  AuditEntry,
  AuditList,
  AutoscalingInfo as Autoscaling,
  AutoscalingChange,
  AutoscalingRequest,
  BoundsInfo as Bounds,
  CopyInfo as Copy,
  CreateRequest,
  DecisionInfo as Decision,
  DraftFile,
  CheckInfo as Check,
  CheckRequest,
  DraftInfo as Draft,
  DraftRequest,
  DryRunAnswer,
  DryRunLog,
  DryRunOutcome,
  DryRunPhase,
  DryRunRequest,
  DryRunState,
  EventInfo as ServiceEvent,
  ExitInfo as Exit,
  FieldInfo as Field,
  FilesInfo as Files,
  FolderInfo,
  GatewayInfo as Gateway,
  GpuInfo as Gpu,
  GpuOffer,
  GuessInfo as Guess,
  KindInfo as Kind,
  LimitsInfo,
  LimitsSpec,
  LogAnswer,
  NewToken,
  NoteInfo as Note,
  OfferInfo as Offer,
  PathRuleInfo,
  PathRuleSpec,
  ProblemInfo as Problem,
  ReplicaInfo as Replica,
  RevisionInfo as Revision,
  RotateRequest,
  RuleInfo as Rule,
  RuleSpec,
  SampleRequest,
  ScheduleInfo as Schedule,
  ScheduleSpec,
  SeriesAnswer as Series,
  ServiceInfo as Service,
  SharedInfo as Shared,
  ShareInfo,
  ShareRequest,
  SiteInfo as Site,
  TokenChange,
  TokenInfo as Token,
  TokenRequest,
  UpdateRequest,
  UseInfo,
  UseList,
  ValidateAnswer
} from './generated';

/** Which service: "owner/name". */
export type Key = string;

export type ServiceState = wire.ServiceInfo['state'];

export function keyOf(service: { owner: string; name: string }): Key {
  return `${service.owner}/${service.name}`;
}

/** What a list has: services that one may look into, and those that one may only call. */
export interface Listed {
  services: wire.ServiceInfo[];
  shared: wire.SharedInfo[];
}

/** What comes in the gateway's event stream. `heartbeat` says only that the stream is alive. */
export type StreamMessage =
  | { kind: 'hello' | 'resync' | 'heartbeat' }
  | { kind: 'service'; service: wire.ServiceInfo }
  | { kind: 'shared'; shared: wire.SharedInfo }
  | { kind: 'removed'; key: Key }
  | { kind: 'event'; event: wire.EventInfo }
  | { kind: 'copying'; copy: wire.CopyInfo };

/** What comes in the event stream of a dry run. */
export type DryRunEvent =
  | { kind: 'phase'; phase: wire.DryRunPhase }
  | { kind: 'log'; log: wire.DryRunLog }
  | { kind: 'answer'; answer: wire.DryRunAnswer }
  | { kind: 'outcome'; outcome: wire.DryRunOutcome };

/** A call of a service's endpoint. `path` begins with a slash and may have a query. */
export interface CallRequest {
  method: string;
  path: string;
  headers?: Record<string, string>;
  body?: string;
}

/** The answer of a model, whose body comes as it comes. Times are milliseconds since the call was sent. */
export interface CallAnswer {
  status: number;
  statusText: string;
  headers: ReadonlyArray<readonly [name: string, value: string]>;
  headersMs: number;
  /** Null until the first piece of the body has been read. */
  readonly firstByteMs: number | null;
  /** Bytes that have been read of a body that is not for reading. */
  readonly size: number;
  /** Whether the body is for reading; else its pieces are empty, and only counted. */
  isText: boolean;
  /** To be read once. */
  body: AsyncIterable<string>;
}
