/** What happened: the events of the service, and why it was scaled. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useState } from 'react';

import { clean, moment } from '../format';
import { may } from '../roles';
import type { Decision, Service, ServiceEvent } from '../types';
import { Button, Notice, Table } from './pieces';
import { measure } from './units';

const SHOWN = 100; // until more are asked for

export interface EventsProps {
  events: readonly ServiceEvent[];
  trans: TranslationBundle;
  onLog: (replica: string) => void;
}

export const Events = React.memo(function Events({ events, trans, onLog }: EventsProps): JSX.Element {
  const [search, setSearch] = useState('');
  const [most, setMost] = useState(SHOWN);
  if (events.length === 0) {
    return <Notice text={trans.__('Nothing has happened yet.')} />;
  }
  const words = search.toLowerCase();
  const found = events
    .filter(each => `${each.kind} ${clean(each.message)} ${each.replica ?? ''}`.toLowerCase().includes(words))
    .reverse();
  return (
    <>
      <div className="jp-ModelService-bar">
        <input
          className="jp-mod-styled"
          type="search"
          value={search}
          placeholder={trans.__('Find in the events')}
          aria-label={trans.__('Find in the events')}
          onChange={event => setSearch(event.target.value)}
        />
        <span className="jp-ModelService-help" role="status">
          {trans._n('%1 event', '%1 events', found.length)}
        </span>
      </div>
      <Table
        caption={trans.__('Events, the newest first')}
        columns={[trans.__('When'), trans.__('Kind'), trans.__('What'), trans.__('Replica')]}
      >
        {found.slice(0, most).map(each => (
          <tr key={each.id} className={isBad(each) ? 'jp-mod-bad' : undefined} data-kind={each.kind}>
            <td className="jp-mod-when">{moment(each.at)}</td>
            <td>{each.kind.replace(/[._-]/g, ' ')}</td>
            <td className="jp-ModelService-why">{clean(each.message)}</td>
            <td>
              {each.replica && (
                <button
                  type="button"
                  className="jp-ModelService-link"
                  title={trans.__('Show its log')}
                  onClick={() => onLog(each.replica ?? '')}
                >
                  {each.replica}
                </button>
              )}
            </td>
          </tr>
        ))}
      </Table>
      {found.length > most && (
        <Button text={trans.__('Show more')} onClick={() => setMost(count => count + SHOWN)} />
      )}
    </>
  );
});

function isBad(event: ServiceEvent): boolean {
  return /fail|unhealthy|taken_back/.test(event.kind);
}

const LATELY = 3;
const LONG_AGO = 86400; // seconds

export interface LatelyProps {
  events: readonly ServiceEvent[];
  /** Unix time. */
  now: number;
  trans: TranslationBundle;
  onLog: (replica: string) => void;
  onEvents: () => void;
}

/** The last few failures: a death is seen here also when its replica is in no list any more. */
export function Lately({ events, now, trans, onLog, onEvents }: LatelyProps): JSX.Element | null {
  const found = events
    .filter(each => isBad(each) && each.at > now - LONG_AGO)
    .slice(-LATELY)
    .reverse();
  const title = trans.__('What failed lately');
  return found.length === 0 ? null : (
    <section aria-label={title}>
      <h3>
        {title}
        <Button text={trans.__('All Events')} onClick={onEvents} />
      </h3>
      <ul className="jp-ModelService-lately">
        {found.map(each => (
          <li key={each.id} data-kind={each.kind}>
            <span className="jp-ModelService-help">{moment(each.at, now)}</span> {clean(each.message)}{' '}
            {each.replica && (
              <button
                type="button"
                className="jp-ModelService-link"
                aria-label={trans.__('Log of %1', each.replica)}
                onClick={() => onLog(each.replica ?? '')}
              >
                {trans.__('Log')}
              </button>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

export interface DecisionsProps {
  service: Service;
  decisions: readonly Decision[];
  trans: TranslationBundle;
  onSetUp: () => void;
}

export function Decisions({ service, decisions, trans, onSetUp }: DecisionsProps): JSX.Element {
  if (service.autoscaling === null) {
    const count = service.replicas.want;
    return (
      <Notice
        text={trans._n(
          'The service is not autoscaled: it has the %1 replica that it was given.',
          'The service is not autoscaled: it has the %1 replicas that it was given.',
          count
        )}
      >
        {may(service, 'operator') && (
          <Button text={trans.__('Set Up Autoscaling')} look="accept" onClick={onSetUp} />
        )}
      </Notice>
    );
  }
  if (decisions.length === 0) {
    return (
      <Notice
        text={trans.__('Nothing was decided yet: a decision comes every 2 s while the service runs.')}
      />
    );
  }
  return (
    <ol className="jp-ModelService-decisions" aria-label={trans.__('Decisions, the newest first')}>
      {[...decisions].reverse().map((each, i) => (
        <DecisionItem key={each.since} decision={each} newest={i === 0} trans={trans} />
      ))}
    </ol>
  );
}

interface DecisionItemProps {
  decision: Decision;
  newest: boolean;
  trans: TranslationBundle;
}

function DecisionItem({ decision, newest, trans }: DecisionItemProps): JSX.Element {
  const [chosen, setChosen] = useState<boolean | null>(null);
  const open = chosen ?? newest;
  const { since, at, before, count, changed } = decision;
  return (
    <li className={changed ? 'jp-mod-changed' : undefined} data-changed={changed}>
      <details open={open}>
        <summary
          onClick={event => {
            event.preventDefault();
            setChosen(!open);
          }}
        >
          <span className="jp-ModelService-help">
            {moment(since) === moment(at) ? moment(at) : trans.__('%1 to %2', moment(since), moment(at))}
          </span>{' '}
          {changed && <span className="jp-ModelService-badge">{trans.__('%1 → %2', before, count)}</span>}{' '}
          {clean(decision.reason)}
        </summary>
        {open && <Grounds decision={decision} trans={trans} />}
      </details>
    </li>
  );
}

function Grounds({ decision, trans }: Pick<DecisionItemProps, 'decision' | 'trans'>): JSX.Element {
  const { bounds, wishes, measured } = decision;
  return (
    <div className="jp-ModelService-grounds">
      <dl>
        {Object.entries(measured).map(([metric, value]) => (
          <div key={metric}>
            <dt>{metric.replace(/_/g, ' ')}</dt>
            <dd>{measure(metric, value, trans)}</dd>
          </div>
        ))}
      </dl>
      {wishes.length > 0 && (
        <Table
          caption={trans.__('What each source wanted')}
          columns={[trans.__('Source'), trans.__('Wants'), trans.__('Why')]}
        >
          {wishes.map((wish, i) => (
            <tr key={i}>
              <th scope="row">{wish.source}</th>
              <td className="jp-mod-figure">{wish.count ?? '–'}</td>
              <td className="jp-ModelService-why">{clean(wish.why)}</td>
            </tr>
          ))}
        </Table>
      )}
      {bounds !== null && (
        <p>
          {decision.bound === null
            ? trans.__('Allowed were %1 to %2; nothing was cut.', bounds.min, bounds.max)
            : trans.__('Allowed were %1 to %2; what cut it: %3.', bounds.min, bounds.max, decision.bound)}
        </p>
      )}
    </div>
  );
}
