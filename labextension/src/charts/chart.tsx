/** Lines over time: with axes, gaps where nothing is known, a readout for mouse and keyboard, and as a table. It draws
 * what it is given when it is given it, and has no clock of its own. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useCallback, useLayoutEffect, useMemo, useState } from 'react';

import { clock } from '../format';
import {
  Frame,
  latest,
  nearest,
  pathOf,
  sample,
  Scale,
  scaleOf,
  timeTicks,
  Values,
  xOf,
  yOf
} from './geometry';

export interface Line {
  /** Short, as in "p95". */
  name: string;
  values: Values;
  /** Which of the colours and dashes: 1 to 4. */
  look: 1 | 2 | 3 | 4;
  /** A count stays as it is until it changes: drawn as stairs. */
  stairs?: boolean;
}

export interface ChartProps {
  title: string;
  /** Unix seconds, one for each value. */
  times: readonly number[];
  lines: readonly Line[];
  /** A value with its unit, for people. */
  show: (value: number) => string;
  /** The top of the scale is at least this. */
  atLeast?: number;
  /** Only whole numbers stand at the axis. */
  whole?: boolean;
  /** What is said while there is nothing to draw. */
  nothing: string;
  trans: TranslationBundle;
}

const HEIGHT = 150;
const WIDTH = 420; // until the room is known
const ROWS = 30;

export const Chart = React.memo(function Chart(props: ChartProps): JSX.Element {
  const { title, times, lines, show, trans } = props;
  const [room, width] = useWidth();
  const [at, setAt] = useState<number | null>(null);
  const [open, setOpen] = useState(false);
  const scale = useMemo(
    () =>
      scaleOf(
        lines.map(line => line.values),
        { atLeast: props.atLeast, whole: props.whole }
      ),
    [lines, props.atLeast, props.whole]
  );
  const labels = useMemo(() => scale.ticks.map(show), [scale, show]);
  const frame = useMemo(() => frameOf(width, labels), [width, labels]);
  const said = saying(lines, show, trans);
  const known = lines.some(line => latest(line.values) !== null) && times.length > 1;
  return (
    <figure className="jp-ModelService-chart">
      <figcaption className="jp-ModelService-chart-head">
        <span className="jp-ModelService-chart-title">{title}</span>
        <Legend lines={lines} show={show} at={at} trans={trans} />
      </figcaption>
      <div ref={room} className="jp-ModelService-chart-room" style={{ height: HEIGHT }}>
        {known ? (
          <>
            <svg
              role="img"
              aria-label={trans.__('%1: %2', title, said)}
              width={width}
              height={HEIGHT}
              viewBox={`0 0 ${width} ${HEIGHT}`}
            >
              <Axes times={times} scale={scale} labels={labels} frame={frame} />
              <Lines times={times} lines={lines} scale={scale} frame={frame} />
              {at !== null && at < times.length && (
                <Mark index={at} times={times} lines={lines} scale={scale} frame={frame} />
              )}
            </svg>
            <Readout {...props} index={at} frame={frame} onIndex={setAt} />
          </>
        ) : (
          <p className="jp-ModelService-chart-nothing">{props.nothing}</p>
        )}
      </div>
      <details onToggle={event => setOpen(event.currentTarget.open)}>
        <summary aria-label={trans.__('%1 as a table', title)}>{trans.__('As a table')}</summary>
        {open && <Table {...props} />}
      </details>
    </figure>
  );
});

function frameOf(width: number, labels: readonly string[]): Frame {
  const longest = Math.max(...labels.map(label => label.length));
  return { width, height: HEIGHT, left: 10 + 6 * longest, right: 10, top: 8, bottom: 20 };
}

/** "p50 12 ms, p95 40 ms, p99 unknown": the newest figures. */
function saying(lines: readonly Line[], show: (value: number) => string, trans: TranslationBundle): string {
  return lines
    .map(({ name, values }) => {
      const value = latest(values);
      return value === null ? trans.__('%1 unknown', name) : `${name} ${show(value)}`;
    })
    .join(', ');
}

interface LegendProps extends Pick<ChartProps, 'lines' | 'show' | 'trans'> {
  at: number | null;
}

/** Which line is which, with the figures of the moment that is pointed at, or else the newest. */
function Legend({ lines, show, at }: LegendProps): JSX.Element {
  return (
    <span className="jp-ModelService-chart-legend" aria-hidden="true">
      {lines.map(line => {
        const value = at === null ? latest(line.values) : (line.values[at] ?? null);
        return (
          <span key={line.name}>
            <svg width="16" height="8" viewBox="0 0 16 8">
              <path className={`jp-ModelService-line jp-mod-look${line.look}`} d="M0 4h16" />
            </svg>
            {line.name} <b>{value === null ? '–' : show(value)}</b>
          </span>
        );
      })}
    </span>
  );
}

interface PlotProps extends Pick<ChartProps, 'times'> {
  scale: Scale;
  frame: Frame;
}

const Axes = React.memo(function Axes(props: PlotProps & { labels: readonly string[] }): JSX.Element {
  const { times, scale, labels, frame } = props;
  const [from, to] = [times[0], times[times.length - 1]];
  const ticks = timeTicks(from, to, Math.max(2, Math.floor(frame.width / 80)));
  const seconds = ticks.some(each => each % 60 !== 0);
  return (
    <g className="jp-ModelService-axes" aria-hidden="true">
      {scale.ticks.map((value, i) => {
        const y = yOf(value, scale, frame);
        return (
          <React.Fragment key={value}>
            <line x1={frame.left} x2={frame.width - frame.right} y1={y} y2={y} />
            <text x={frame.left - 6} y={y + 3.5} textAnchor="end">
              {labels[i]}
            </text>
          </React.Fragment>
        );
      })}
      {ticks.map(time => {
        const x = xOf(time, from, to, frame);
        // At the ends there is no room for the half of a word.
        return x < frame.left + 14 || x > frame.width - 18 ? null : (
          <text key={time} x={x} y={frame.height - 5} textAnchor="middle">
            {clock(time, seconds)}
          </text>
        );
      })}
    </g>
  );
});

const Lines = React.memo(function Lines({
  times,
  lines,
  scale,
  frame
}: PlotProps & { lines: readonly Line[] }): JSX.Element {
  const [from, to] = [times[0], times[times.length - 1]];
  const y = (value: number) => yOf(value, scale, frame);
  return (
    <>
      {lines.map(line => (
        <path
          key={line.name}
          className={`jp-ModelService-line jp-mod-look${line.look}`}
          d={
            line.stairs
              ? pathOf(stairs(line.values), i => xOf(times[(i + 1) >> 1], from, to, frame), y)
              : pathOf(line.values, i => xOf(times[i], from, to, frame), y)
          }
        />
      ))}
    </>
  );
});

/** Each value twice: 2n is at the n-th time, 2n + 1 as long as until the next one. */
function stairs(values: Values): Values {
  const twice: (number | null)[] = [];
  for (let i = 0; i < values.length; i++) {
    twice.push(values[i]);
    if (i < values.length - 1) {
      twice.push(values[i]);
    }
  }
  return twice;
}

function Mark({
  index,
  times,
  lines,
  scale,
  frame
}: PlotProps & { index: number; lines: readonly Line[] }): JSX.Element {
  const x = xOf(times[index], times[0], times[times.length - 1], frame);
  return (
    <g className="jp-ModelService-chart-mark" aria-hidden="true">
      <line x1={x} x2={x} y1={frame.top} y2={frame.height - frame.bottom} />
      {lines.map(line => {
        const value = line.values[index] ?? null;
        return (
          value !== null && (
            <circle
              key={line.name}
              className={`jp-mod-look${line.look}`}
              cx={x}
              cy={yOf(value, scale, frame)}
              r="3"
            />
          )
        );
      })}
    </g>
  );
}

interface ReadoutProps extends ChartProps {
  index: number | null;
  frame: Frame;
  onIndex: (index: number | null) => void;
}

/** What is pointed at, by mouse or by the arrow keys, in words. */
function Readout(props: ReadoutProps): JSX.Element {
  const { title, times, lines, show, index, frame, trans, onIndex } = props;
  const last = times.length - 1;
  const shown = Math.min(index ?? last, last);
  const words = lines.map(line => {
    const value = line.values[shown] ?? null;
    return value === null ? trans.__('%1 unknown', line.name) : `${line.name} ${show(value)}`;
  });
  const onKeyDown = (event: React.KeyboardEvent) => {
    const far = Math.max(1, Math.round(times.length / 10));
    const steps: Record<string, number> = {
      ArrowLeft: shown - 1,
      ArrowDown: shown - 1,
      ArrowRight: shown + 1,
      ArrowUp: shown + 1,
      PageDown: shown - far,
      PageUp: shown + far,
      Home: 0,
      End: last
    };
    if (event.key === 'Escape') {
      onIndex(null);
    } else if (event.key in steps) {
      event.preventDefault();
      onIndex(Math.min(last, Math.max(0, steps[event.key])));
    }
  };
  const onPointerMove = (event: React.PointerEvent) => {
    const x = event.clientX - event.currentTarget.getBoundingClientRect().left;
    onIndex(nearest(times, x, frame));
  };
  return (
    <div
      className="jp-ModelService-chart-readout"
      role="slider"
      tabIndex={0}
      aria-label={trans.__('%1: moment', title)}
      aria-valuemin={0}
      aria-valuemax={last}
      aria-valuenow={shown}
      aria-valuetext={`${clock(times[shown], true)}: ${words.join(', ')}`}
      onKeyDown={onKeyDown}
      onPointerMove={onPointerMove}
      onPointerLeave={() => onIndex(null)}
      onBlur={() => onIndex(null)}
    >
      {index !== null && (
        <span
          className="jp-ModelService-chart-when"
          style={{ left: xOf(times[shown], times[0], times[last], frame) }}
        >
          {clock(times[shown], true)}
        </span>
      )}
    </div>
  );
}

function Table({ title, times, lines, show, trans }: ChartProps): JSX.Element {
  return (
    <table className="jp-ModelService-table jp-mod-figures">
      <caption className="jp-ModelService-spoken">{title}</caption>
      <thead>
        <tr>
          <th scope="col">{trans.__('Time')}</th>
          {lines.map(line => (
            <th key={line.name} scope="col">
              {line.name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {sample(times.length, ROWS)
          .reverse()
          .map(i => (
            <tr key={times[i]}>
              <th scope="row">{clock(times[i], true)}</th>
              {lines.map(line => {
                const value = line.values[i] ?? null;
                return <td key={line.name}>{value === null ? '–' : show(value)}</td>;
              })}
            </tr>
          ))}
      </tbody>
    </table>
  );
}

/** The width that there is for it, as it changes. */
function useWidth(): [React.RefCallback<HTMLElement>, number] {
  const [width, setWidth] = useState(WIDTH);
  const [node, setNode] = useState<HTMLElement | null>(null);
  useLayoutEffect(() => {
    if (node === null || typeof ResizeObserver === 'undefined') {
      return;
    }
    const observer = new ResizeObserver(entries => {
      const found = Math.floor(entries[entries.length - 1].contentRect.width);
      if (found > 0) {
        setWidth(found);
      }
    });
    observer.observe(node);
    return () => observer.disconnect();
  }, [node]);
  return [useCallback((found: HTMLElement | null) => setNode(found), []), width];
}
