/** The view of one service, drawn from what it is given. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { BOUNDS } from '../bounds';
import type {
  AutoscalingChange,
  AutoscalingRequest,
  Copy as CopyInfo,
  Decision,
  Key,
  NewToken,
  Offer,
  RuleSpec,
  ScheduleSpec,
  Series,
  Service,
  ServiceEvent,
  Token,
  TokenChange,
  TokenRequest
} from '../types';
import type { Tab } from '../parts';
import type { AccessProps } from './access';
import { Audit, AuditProps } from './audit';
import { Decisions, Events } from './happened';
import { Actions, Header } from './header';
import { healthPath } from './health';
import { Logs, LogState } from './logs';
import { Overview } from './overview';
import { Button, Notice } from './pieces';
import { Definition, Revisions } from './revisions';
import { Scaling } from './scaling';
import { Share } from './share';
import { isFor, prefixOf, TabPanel, Tabs, tabsOf } from './tabs';
import { Tokens } from './tokens';

/** What is done to the service from its tabs. What returns a promise rejects with what is to be told where it was done. */
export interface PageActions extends Actions {
  onTab: (tab: Tab) => void;
  onRetry: () => void;
  onClose: () => void;
  onSpan: (seconds: number) => void;
  onLog: (replica: string) => void;
  /** Null: the newest. */
  onReplica: (replica: string | null) => void;
  onFollow: (following: boolean) => void;
  /** Where there was no autoscaling. */
  onSave: (body: AutoscalingRequest) => Promise<void>;
  /** Of what there is only what was changed here. */
  onChange: (body: AutoscalingChange) => Promise<void>;
  onEnd: () => Promise<boolean>;
  onResume: () => Promise<void>;
  onAddRule: (rule: RuleSpec) => Promise<void>;
  onRemoveRule: (id: string) => Promise<void>;
  onAddSchedule: (schedule: ScheduleSpec) => Promise<void>;
  onRemoveSchedule: (id: string) => Promise<void>;
  onTakeUp: () => Promise<void>;
  onRollback: (revision: number) => Promise<void>;
  onMakeToken: (body: TokenRequest) => Promise<void>;
  onForgetToken: () => void;
  onTokenChange: (token: Token, change: TokenChange) => Promise<void>;
  onRotate: (token: Token, overlap: number) => Promise<void>;
  onRevoke: (token: Token) => Promise<boolean>;
  onVisibility: (word: Service['visibility']) => void;
}

export interface PageProps {
  /** "owner/name" */
  id: Key;
  service: Service | null;
  gone: boolean;
  /** Why what is shown may be old, or why there is nothing. */
  problem: string | null;
  wanted: number;
  /** What there is here; null until it is known. */
  offer: Offer | null;
  pending: string | null;
  copy: CopyInfo | null;
  tab: Tab;
  series: Series | null;
  span: number;
  events: readonly ServiceEvent[];
  decisions: readonly Decision[];
  tokens: readonly Token[] | null;
  fresh: NewToken | null;
  access: AccessProps;
  audit: AuditProps;
  log: LogState;
  /** Unix time. */
  now: number;
  actions: PageActions;
  trans: TranslationBundle;
}

export function Page(props: PageProps): JSX.Element {
  const { id, service, trans, actions, problem } = props;
  if (props.gone) {
    return (
      <Notice text={trans.__('There is no service %1 any more.', id)} kind="bad">
        <Button text={trans.__('Close')} onClick={actions.onClose} />
      </Notice>
    );
  }
  if (service === null) {
    return problem === null ? (
      <Notice text={trans.__('Looking for %1 …', id)} kind="busy" />
    ) : (
      <Notice text={problem} kind="bad">
        <Button text={trans.__('Try Again')} look="accept" onClick={actions.onRetry} />
      </Notice>
    );
  }
  return <Whole {...props} service={service} />;
}

function Whole(props: PageProps & { service: Service }): JSX.Element {
  const { id, service, problem, trans, actions, now } = props;
  const tab = isFor(service, props.tab) ? props.tab : 'overview';
  const prefix = prefixOf(id);
  const panel = (of: Tab, render: () => JSX.Element) =>
    isFor(service, of) && <TabPanel prefix={prefix} tab={of} shown={tab === of} render={render} />;
  return (
    <>
      {problem !== null && (
        <div className="jp-ModelService-banner" role="alert">
          {trans.__('What is shown may be old: %1', problem)}
        </div>
      )}
      <Header
        {...actions}
        service={service}
        wanted={props.wanted}
        most={props.offer?.max_replicas ?? BOUNDS.ScaleRequest.replicas.most}
        pending={props.pending}
        copy={props.copy}
        trans={trans}
      />
      <Tabs
        label={trans.__('Views of %1', service.name)}
        prefix={prefix}
        tabs={tabsOf(trans).filter(each => isFor(service, each.id))}
        shown={tab}
        onTab={actions.onTab}
      />
      {panel('overview', () => (
        <Overview
          service={service}
          series={props.series}
          events={props.events}
          span={props.span}
          now={now}
          trans={trans}
          onSpan={actions.onSpan}
          onLog={actions.onLog}
          onEvents={() => actions.onTab('events')}
        />
      ))}
      {panel('logs', () => (
        <Logs
          log={props.log}
          replicas={service.replica_list}
          healthPath={healthPath(service)}
          trans={trans}
          onReplica={actions.onReplica}
          onFollow={actions.onFollow}
          onCopy={actions.onCopy}
        />
      ))}
      {panel('events', () => (
        <Events events={props.events} trans={trans} onLog={actions.onLog} />
      ))}
      {panel('decisions', () => (
        <Decisions
          service={service}
          decisions={props.decisions}
          trans={trans}
          onSetUp={() => actions.onTab('scaling')}
        />
      ))}
      {panel('scaling', () => (
        <Scaling {...actions} service={service} offer={props.offer} now={now} trans={trans} />
      ))}
      {panel('revisions', () => (
        <Revisions {...actions} service={service} trans={trans} />
      ))}
      {panel('tokens', () => (
        <Tokens
          tokens={props.tokens}
          fresh={props.fresh}
          isPublic={service.public}
          now={now}
          trans={trans}
          onMake={actions.onMakeToken}
          onForget={actions.onForgetToken}
          onChange={actions.onTokenChange}
          onRotate={actions.onRotate}
          onRevoke={actions.onRevoke}
          onCopy={actions.onCopy}
        />
      ))}
      {panel('share', () => (
        <Share
          service={service}
          access={props.access}
          mayBePublic={props.offer?.public ?? true}
          trans={trans}
          onVisibility={actions.onVisibility}
          onTokens={() => actions.onTab('tokens')}
          onCopy={actions.onCopy}
        />
      ))}
      {panel('audit', () => (
        <Audit {...props.audit} />
      ))}
      {panel('definition', () => (
        <Definition service={service} trans={trans} onCopy={actions.onCopy} />
      ))}
    </>
  );
}
