/** The log of one replica: followed, searched, and honest about the lines that are lost. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useLayoutEffect, useMemo, useRef, useState } from 'react';

import type { Replica } from '../types';
import { phaseWord } from '../words';
import { withoutChecks } from './health';
import { Button, Notice } from './pieces';
import { chunks, countOf, pieces, plainLine } from './search';

/** What is read of the model of the log. */
export interface LogState {
  lines: readonly string[];
  lost: number;
  replica: string | null;
  gone: boolean;
  problem: string | null;
  following: boolean;
  /** More is written than is read. */
  catchingUp: boolean;
}

export interface LogsProps {
  log: LogState;
  replicas: readonly Replica[];
  /** Where the health check asks, which fills the log; null: there is none. */
  healthPath: string | null;
  trans: TranslationBundle;
  /** Null: of the newest. */
  onReplica: (replica: string | null) => void;
  onFollow: (following: boolean) => void;
  onCopy: (text: string) => void;
}

export function Logs(props: LogsProps): JSX.Element {
  const { log, replicas, healthPath, trans, onReplica, onFollow, onCopy } = props;
  const [search, setSearch] = useState('');
  const [current, setCurrent] = useState(0);
  const [unchecked, setUnchecked] = useState(false);
  const room = useRef<HTMLDivElement>(null);
  const lines = useMemo(
    () => (unchecked && healthPath !== null ? withoutChecks(log.lines, healthPath) : log.lines),
    [log.lines, unchecked, healthPath]
  );
  const count = useMemo(() => countOf(lines, search), [lines, search]);
  const at = count === 0 ? 0 : Math.min(current, count - 1);
  const toEnd = useEnd(room, log, search === '');
  const go = (by: number) => {
    const next = (at + by + count) % Math.max(1, count);
    setCurrent(next);
    show(room.current, next);
  };
  // What is typed is shown where it is found first.
  useLayoutEffect(() => show(room.current, 0), [search, unchecked]);
  return (
    <div className="jp-ModelService-logs">
      <div className="jp-ModelService-bar">
        <label>
          {trans.__('Replica')}{' '}
          <select
            className="jp-mod-styled"
            value={log.replica ?? ''}
            onChange={event => onReplica(event.target.value)}
          >
            {choices(replicas, log.replica).map(id => (
              <option key={id} value={id}>
                {optionWords(id, replicas, log, trans)}
              </option>
            ))}
          </select>
        </label>
        <label>
          <input type="checkbox" checked={log.following} onChange={event => onFollow(event.target.checked)} />{' '}
          {trans.__('Follow')}
        </label>
        {healthPath !== null && (
          <label title={trans.__('Lines that name %1 are left out', healthPath)}>
            <input
              type="checkbox"
              checked={unchecked}
              onChange={event => {
                setUnchecked(event.target.checked);
                setCurrent(0);
              }}
            />{' '}
            {trans.__('Hide health checks')}
          </label>
        )}
        <input
          className="jp-mod-styled"
          type="search"
          value={search}
          placeholder={trans.__('Find in the log')}
          aria-label={trans.__('Find in the log')}
          onChange={event => {
            setSearch(event.target.value);
            setCurrent(0);
          }}
          onKeyDown={event => {
            if (event.key === 'Enter' && count > 0) {
              event.preventDefault();
              go(event.shiftKey ? -1 : 1);
            }
          }}
        />
        <span className="jp-ModelService-help" role="status">
          {search !== '' && (count === 0 ? trans.__('not found') : trans.__('%1 of %2', at + 1, count))}
        </span>
        {count > 0 && (
          <>
            <Button text={trans.__('Previous')} onClick={() => go(-1)} />
            <Button text={trans.__('Next')} onClick={() => go(1)} />
          </>
        )}
        <span className="jp-ModelService-rest" />
        <span
          className="jp-ModelService-help"
          role="status"
          title={trans.__('More is written than can be shown: the last lines are, and the others counted.')}
        >
          {log.catchingUp && trans.__('Catching up …')}
        </span>
        <Button
          text={trans.__('Copy All')}
          disabled={log.lines.length === 0}
          onClick={() => onCopy(log.lines.map(plainLine).join('\n'))}
        />
      </div>
      {log.problem !== null && <Notice text={log.problem} kind="bad" />}
      {log.gone && log.replica !== null && (
        <Notice text={trans.__('%1 is gone. These are its last lines.', log.replica)}>
          <Button text={trans.__('Log of the Newest')} onClick={() => onReplica(null)} />
        </Notice>
      )}
      {log.lost > 0 && (
        <p className="jp-ModelService-lost">
          {trans._n(
            '%1 earlier line is not kept any more.',
            '%1 earlier lines are not kept any more.',
            log.lost
          )}
        </p>
      )}
      <div
        ref={room}
        className="jp-ModelService-log"
        role="log"
        aria-live="off"
        aria-label={log.replica === null ? trans.__('Log') : trans.__('Log of %1', log.replica)}
        tabIndex={0}
        onScroll={toEnd.onScroll}
      >
        {lines.length === 0 && log.problem === null ? (
          <p className="jp-ModelService-help">{whyEmpty(props)}</p>
        ) : (
          <Lines lines={lines} lost={log.lost} search={search} />
        )}
      </div>
      {!toEnd.there && (
        <div className="jp-ModelService-toend">
          <Button text={trans.__('To the end')} onClick={toEnd.go} />
        </div>
      )}
    </div>
  );
}

/** A replica that is gone from the list may still be the one whose log is shown. */
function choices(replicas: readonly Replica[], shown: string | null): string[] {
  const ids = [...replicas].sort((a, b) => b.created_at - a.created_at).map(each => each.id);
  return shown === null || ids.includes(shown) ? ids : [shown, ...ids];
}

function optionWords(
  id: string,
  replicas: readonly Replica[],
  log: LogState,
  trans: TranslationBundle
): string {
  const phase = log.gone && id === log.replica ? 'gone' : replicas.find(each => each.id === id)?.phase;
  return phase === undefined ? id : trans.__('%1 (%2)', id, phaseWord(phase, trans));
}

function whyEmpty({ log, replicas, trans }: LogsProps): string {
  return log.lines.length > 0
    ? trans.__('Only health checks were written.')
    : log.gone
      ? trans.__('Nothing is left of its log.')
      : replicas.length === 0
        ? trans.__('There is no replica whose log could be read.')
        : trans.__('Nothing was written yet.');
}

interface LinesProps {
  lines: readonly string[];
  lost: number;
  search: string;
}

/** In parts, so that of thousands of lines only those are drawn again that are new. */
function Lines({ lines, lost, search }: LinesProps): JSX.Element {
  return (
    <>
      {chunks(lost, lines.length).map(({ first, from, to }) => (
        <Part key={first - (first % 200)} text={lines.slice(from, to).join('\n')} search={search} />
      ))}
    </>
  );
}

const Part = React.memo(function Part({ text, search }: { text: string; search: string }): JSX.Element {
  return (
    <pre>
      {text.split('\n').map((line, i) => (
        <React.Fragment key={i}>
          {pieces(plainLine(line), search).map((piece, n) =>
            n % 2 === 1 ? <mark key={n}>{piece}</mark> : piece
          )}
          {'\n'}
        </React.Fragment>
      ))}
    </pre>
  );
});

function show(room: HTMLElement | null, index: number): void {
  const marks = room?.querySelectorAll('mark') ?? [];
  room?.querySelector('mark.jp-mod-current')?.classList.remove('jp-mod-current');
  const mark = marks[index];
  if (mark !== undefined) {
    mark.classList.add('jp-mod-current');
    mark.scrollIntoView?.({ block: 'center' });
  }
}

/** Stays at the end while new lines come, unless somebody has gone up to read. */
function useEnd(room: React.RefObject<HTMLDivElement>, log: LogState, wanted: boolean) {
  const [there, setThere] = useState(true);
  const sticking = useRef(true);
  useLayoutEffect(() => {
    const node = room.current;
    if (node !== null && sticking.current && wanted && log.following) {
      node.scrollTop = node.scrollHeight;
    }
  }, [log.lines, log.following, wanted, room]);
  return {
    there,
    go: () => {
      sticking.current = true;
      setThere(true);
      room.current?.scrollTo?.({ top: room.current.scrollHeight });
    },
    onScroll: () => {
      const node = room.current;
      if (node !== null) {
        sticking.current = node.scrollHeight - node.scrollTop - node.clientHeight < 30;
        setThere(sticking.current);
      }
    }
  };
}
