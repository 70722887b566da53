/** A dry run of the folder's server beside the notebook: what is done, what it prints, what it answers. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useRef, useState } from 'react';

import { latency } from '../format';
import type { DryRunAnswer, DryRunPhase, SampleRequest } from '../types';
import { Button, Notice } from '../view/pieces';

export interface TryoutProps {
  /** Those that the folder keeps; one of them is sent. */
  samples: readonly SampleRequest[];
  phases: readonly DryRunPhase[];
  /** What is being done, or what came of it. */
  sentence: string;
  log: readonly string[];
  answer: DryRunAnswer | null;
  outcome: 'running' | 'passed' | 'failed' | 'stopped' | null;
  /** The definition cannot be served. */
  blocked: boolean;
  trans: TranslationBundle;
  onStart: (request: SampleRequest | null) => void;
  onStop: () => void;
}

export function Tryout(props: TryoutProps): JSX.Element {
  const { samples, outcome, trans } = props;
  const [name, setName] = useState('');
  const id = React.useId();
  const chosen = samples.find(each => each.name === name) ?? samples[0] ?? null;
  const running = outcome === 'running';
  return (
    <section className="jp-ModelService-tryout" aria-label={trans.__('Dry run')} aria-busy={running}>
      <h3>{trans.__('Dry run')}</h3>
      <p className="jp-ModelService-help">
        {trans.__(
          'Starts the server here, in the environment of this notebook server, calls it once and stops it. No GPU is asked for.'
        )}
      </p>
      <div className="jp-ModelService-bar">
        {samples.length > 1 && (
          <>
            <label htmlFor={id}>{trans.__('It is sent')}</label>
            <select
              id={id}
              className="jp-mod-styled"
              value={chosen?.name}
              disabled={running}
              onChange={event => setName(event.target.value)}
            >
              {samples.map(each => (
                <option key={each.name}>{each.name}</option>
              ))}
            </select>
          </>
        )}
        <Button
          text={outcome === null ? trans.__('Dry Run') : trans.__('Run Again')}
          disabled={running || props.blocked}
          onClick={() => props.onStart(chosen)}
        />
        {running && <Button text={trans.__('Stop')} look="warn" onClick={props.onStop} />}
      </div>
      {outcome !== null && <Course {...props} />}
    </section>
  );
}

function Course({ phases, sentence, log, answer, outcome, trans }: TryoutProps): JSX.Element {
  const words = {
    running: trans.__('Under way: %1', sentence || trans.__('asking for it …')),
    passed: trans.__('Passed: %1', sentence),
    failed: trans.__('Failed: %1', sentence),
    stopped: trans.__('Stopped.')
  };
  return (
    <>
      {outcome !== null && (
        <Notice
          kind={outcome === 'failed' ? 'bad' : outcome === 'running' ? 'busy' : 'quiet'}
          text={words[outcome]}
        />
      )}
      {phases.length > 0 && (
        <ol className="jp-ModelService-phases" aria-label={trans.__('What was done')}>
          {phases.map((each, i) => (
            <li key={i}>
              {each.sentence} <span className="jp-ModelService-help">{latency(each.at, trans)}</span>
            </li>
          ))}
        </ol>
      )}
      {answer !== null && <Answered answer={answer} trans={trans} />}
      {log.length > 0 && <Log lines={log} trans={trans} />}
    </>
  );
}

function Answered({ answer, trans }: { answer: DryRunAnswer; trans: TranslationBundle }): JSX.Element {
  const { request, status, first_byte } = answer;
  return (
    <section aria-label={trans.__('Its answer')}>
      <p>
        <code>{[request.method ?? 'GET', request.path].join(' ')}</code>{' '}
        <strong>{status ?? trans.__('no answer')}</strong>{' '}
        {first_byte !== null && trans.__('first byte after %1', latency(first_byte, trans))} {answer.problem}
      </p>
      {answer.body !== '' && (
        <pre
          className="jp-ModelService-code"
          tabIndex={0}
          role="group"
          aria-label={trans.__('Body of the answer')}
        >
          {answer.body}
          {answer.truncated ? ' …' : ''}
        </pre>
      )}
    </section>
  );
}

/** At its end, unless somebody has gone up to read. */
function Log({ lines, trans }: { lines: readonly string[]; trans: TranslationBundle }): JSX.Element {
  const room = useRef<HTMLPreElement>(null);
  const atEnd = useRef(true);
  useEffect(() => {
    if (room.current !== null && atEnd.current) {
      room.current.scrollTop = room.current.scrollHeight;
    }
  }, [lines]);
  return (
    <details open>
      <summary>{trans.__('What the server prints')}</summary>
      <pre
        ref={room}
        className="jp-ModelService-code"
        role="log"
        tabIndex={0}
        aria-label={trans.__('What the server prints')}
        onScroll={event => {
          const { scrollTop, clientHeight, scrollHeight } = event.currentTarget;
          atEnd.current = scrollTop + clientHeight >= scrollHeight - 4;
        }}
      >
        {lines.join('\n')}
      </pre>
    </details>
  );
}
