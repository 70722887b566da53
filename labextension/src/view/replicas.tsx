/** The replicas of a service, one row each. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { age, bytes, clean, figure } from '../format';
import type { Replica, Service } from '../types';
import { phaseWord } from '../words';
import { useNarrow } from './narrow';
import { Button, Notice, Table } from './pieces';

const GONE_SHOWN = 3;

export interface ReplicasProps {
  service: Service;
  /** Unix time. */
  now: number;
  trans: TranslationBundle;
  onLog: (replica: string) => void;
}

/** Below it, the reason and what matters less stand in a row of their own. */
const NARROW = 720; // pixels

export function Replicas({ service, now, trans, onLog }: ReplicasProps): JSX.Element {
  const replicas = worthShowing(service);
  const gpus = replicas.some(each => each.gpus !== null && each.gpus.length > 0);
  const [room, narrow] = useNarrow(NARROW);
  const less = [
    trans.__('Age'),
    trans.__('Revision'),
    trans.__('In flight'),
    trans.__('Memory'),
    ...(gpus ? [trans.__('GPU')] : []),
    trans.__('What or why')
  ];
  return (
    <section ref={room} aria-label={trans.__('Replicas')}>
      <h3>
        {trans.__('Replicas')}
        {service.restarts > 0 && (
          <span className="jp-ModelService-help">
            {trans._n('replaced %1 time', 'replaced %1 times', service.restarts)}
          </span>
        )}
      </h3>
      {replicas.length === 0 ? (
        <Notice text={whyNone(service, trans)} />
      ) : (
        <Table
          low
          caption={trans.__('Replicas')}
          columns={[
            trans.__('Replica'),
            trans.__('Phase'),
            trans.__('For'),
            ...(narrow ? [trans.__('In flight')] : less),
            ''
          ]}
        >
          {replicas.map(each => (
            <ReplicaRow
              key={each.id}
              replica={each}
              gpus={gpus}
              narrow={narrow}
              now={now}
              trans={trans}
              onLog={onLog}
            />
          ))}
        </Table>
      )}
    </section>
  );
}

interface ReplicaRowProps {
  replica: Replica;
  gpus: boolean;
  narrow: boolean;
  now: number;
  trans: TranslationBundle;
  onLog: (replica: string) => void;
}

function ReplicaRow({ replica, gpus, narrow, now, trans, onLog }: ReplicaRowProps): JSX.Element {
  const gone = replica.phase === 'gone';
  const tone = `jp-mod-${phaseTone(replica)}`;
  const inFlight = <td className="jp-mod-figure">{gone ? '–' : replica.in_flight}</td>;
  const old = replica.created_at > 0 ? age(replica.created_at, trans, now) : null;
  const memory = replica.rss ? bytes(replica.rss) : null;
  const why = doing(replica, trans);
  return (
    <>
      <tr
        className={narrow ? `${tone} jp-mod-parted` : tone}
        data-replica={replica.id}
        data-phase={replica.phase}
      >
        <th scope="row">
          <code>{replica.id}</code>
        </th>
        <td className="jp-ModelService-phase">
          <span className="jp-ModelService-dot" aria-hidden="true" />
          {replica.suspect
            ? trans.__('%1, doubtful', phaseWord(replica.phase, trans))
            : phaseWord(replica.phase, trans)}
        </td>
        <td className="jp-mod-figure">{age(replica.since, trans, now)}</td>
        {narrow ? (
          inFlight
        ) : (
          <>
            <td className="jp-mod-figure">{old ?? '–'}</td>
            <td className="jp-mod-figure">{replica.revision}</td>
            {inFlight}
            <td className="jp-mod-figure">{memory ?? '–'}</td>
            {gpus && <td className="jp-mod-figure">{gpuWords(replica, trans)}</td>}
            <td className="jp-ModelService-why">{why}</td>
          </>
        )}
        <td>
          <Button
            text={trans.__('Log')}
            label={trans.__('Log of %1', replica.id)}
            onClick={() => onLog(replica.id)}
          />
        </td>
      </tr>
      {narrow && (
        <tr className={tone} data-replica={replica.id} data-phase={replica.phase}>
          <td colSpan={5} className="jp-ModelService-why">
            {why !== '' && <div>{why}</div>}
            <span className="jp-ModelService-help">
              {[
                trans.__('revision %1', replica.revision),
                old === null ? '' : trans.__('age %1', old),
                memory === null ? '' : trans.__('%1 of memory', memory),
                gpus ? gpuWords(replica, trans) : ''
              ]
                .filter(Boolean)
                .join(', ')}
            </span>
          </td>
        </tr>
      )}
    </>
  );
}

/** Those that are there; of those that have gone the last few, and of a service that is well only the last one. */
export function worthShowing(service: Service): Replica[] {
  const there = service.replica_list.filter(each => each.phase !== 'gone');
  const gone = service.replica_list
    .filter(each => each.phase === 'gone')
    .sort((a, b) => b.since - a.since)
    .slice(0, service.state === 'ready' ? 1 : GONE_SHOWN);
  return [...there, ...gone];
}

function whyNone(service: Service, trans: TranslationBundle): string {
  switch (service.state) {
    case 'stopped':
      return trans.__('The service is stopped: its endpoint and its tokens stay. “Start” starts it again.');
    case 'idle':
      return trans.__('There were no calls, so no replica is kept. The next call starts one.');
    default:
      return trans.__('There are no replicas.');
  }
}

export function doing(replica: Replica, trans: TranslationBundle): string {
  const { action } = replica;
  if (action !== null && replica.phase === 'preparing') {
    return trans.__('%1 (%2 of %3)', action.label, action.index, action.count);
  }
  return replica.phase === 'ready' && !replica.suspect ? '' : clean(replica.reason ?? '');
}

/** "87 % 12 of 40 GiB" of each. */
export function gpuWords(replica: Replica, trans: TranslationBundle): string {
  return (replica.gpus ?? [])
    .map(gpu =>
      trans.__('%1 %, %2 of %3', figure(gpu.utilization), bytes(gpu.memory_used), bytes(gpu.memory_total))
    )
    .join('; ');
}

function phaseTone(replica: Replica): string {
  if (replica.suspect) {
    return 'bad';
  }
  switch (replica.phase) {
    case 'ready':
      return 'good';
    case 'unhealthy':
    case 'failed':
      return 'bad';
    case 'gone':
      return 'quiet';
    default:
      return 'busy';
  }
}
