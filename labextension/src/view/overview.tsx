/** Replicas and charts: how the service is doing. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useMemo } from 'react';

import { Chart } from '../charts/chart';
import { clean, duration, moment } from '../format';
import type { Series, Service, ServiceEvent } from '../types';
import { picturesOf } from './figures';
import { Lately } from './happened';
import { Notice } from './pieces';
import { Replicas } from './replicas';

/** How long a time the charts can show, by what is asked for: a little less than what the gateway keeps every 2 s, every
 * 30 s and every 5 min, or it would answer with coarser figures. */
export const SPANS: ReadonlyMap<number, number> = new Map([
  [120, 120],
  [590, 600],
  [3600, 3600],
  [14300, 14400],
  [86000, 86400]
]);

export interface OverviewProps {
  service: Service;
  series: Series | null;
  /** Oldest first. */
  events: readonly ServiceEvent[];
  span: number;
  now: number;
  trans: TranslationBundle;
  onSpan: (seconds: number) => void;
  onLog: (replica: string) => void;
  onEvents: () => void;
}

export function Overview(props: OverviewProps): JSX.Element {
  const { service, trans } = props;
  return (
    <>
      {said(service, trans).map(each => (
        <Notice key={each} text={each} />
      ))}
      <Replicas service={service} now={props.now} trans={trans} onLog={props.onLog} />
      <Lately
        events={props.events}
        now={props.now}
        trans={trans}
        onLog={props.onLog}
        onEvents={props.onEvents}
      />
      {service.not_enforced.map(each => (
        <Notice key={each} text={each} />
      ))}
      <Charts series={props.series} span={props.span} trans={trans} onSpan={props.onSpan} />
    </>
  );
}

/** What the administrator has to say about it, and what her policy is about to do to it. */
export function said(service: Service, trans: TranslationBundle): string[] {
  const { notice, ends } = service;
  return [
    notice ? trans.__('%1 (from %2, %3)', clean(notice.text), clean(notice.by), moment(notice.at)) : '',
    ends ? trans.__('It will be stopped on %1: by then %2.', moment(ends.at), clean(ends.why)) : ''
  ].filter(Boolean);
}

type ChartsProps = Pick<OverviewProps, 'series' | 'span' | 'trans' | 'onSpan'>;

/** Drawn again only when something was measured. */
const Charts = React.memo(function Charts({ series, span, trans, onSpan }: ChartsProps): JSX.Element {
  const pictures = useMemo(() => (series === null ? [] : picturesOf(series, trans)), [series, trans]);
  return (
    <section aria-label={trans.__('Charts')}>
      <h3>
        {trans.__('Calls and replicas')}
        <label className="jp-ModelService-span">
          <span className="jp-ModelService-spoken">{trans.__('Time that is shown')}</span>
          <select
            className="jp-mod-styled"
            value={span}
            onChange={event => onSpan(Number(event.target.value))}
          >
            {[...SPANS].map(([asked, shown]) => (
              <option key={asked} value={asked}>
                {trans.__('Last %1', duration(shown, trans))}
              </option>
            ))}
          </select>
        </label>
      </h3>
      {series === null ? (
        <Notice text={trans.__('Looking for what was measured …')} kind="busy" />
      ) : (
        <div className="jp-ModelService-charts">
          {pictures.map(({ id, ...picture }) => (
            <Chart key={id} times={series.times} trans={trans} {...picture} />
          ))}
        </div>
      )}
    </section>
  );
});
