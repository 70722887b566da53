/** The answer as it comes, and the call as others make it. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useId, useState } from 'react';

import { bytes, latency, spelled } from '../format';
import { Button, Copy, Notice } from '../view/pieces';
import type { Answer } from './model';
import type { Language } from './snippets';

/** Characters of JSON that are set in lines; more would keep the page busy. */
const MOST_PRETTY = 100_000;

export interface AnswerProps {
  sending: boolean;
  answer: Answer | null;
  problem: string | null;
  trans: TranslationBundle;
  onCopy: (text: string) => void;
}

export function AnswerPart({ sending, answer, problem, trans, onCopy }: AnswerProps): JSX.Element {
  return (
    <section aria-label={trans.__('Answer')} aria-busy={sending}>
      <h3>{trans.__('Answer')}</h3>
      {answer === null && problem === null && (
        <p className="jp-ModelService-help" role="status">
          {sending ? trans.__('Waiting for the answer …') : trans.__('Send the call to see it here.')}
        </p>
      )}
      {problem !== null && <Notice kind="bad" text={problem} />}
      {answer !== null && (
        <>
          <p className="jp-ModelService-answered" role="status">
            <strong data-good={answer.status < 400}>
              {answer.status} {answer.statusText}
            </strong>{' '}
            {times(answer, trans).join(' · ')}
          </p>
          {refusedByGateway(answer) && (
            <p className="jp-ModelService-help">
              {trans.__('The gateway answered this, not the model: no replica was called.')}
            </p>
          )}
          {answer.size === null ? (
            <pre
              className="jp-ModelService-code"
              tabIndex={0}
              role="group"
              aria-label={trans.__('Body of the answer')}
            >
              {spelled(shown(answer))}
            </pre>
          ) : (
            <p>
              {trans.__(
                '%1 of %2, which is not text: it is not shown.',
                bytes(answer.size),
                spelled(typeOf(answer).split(';')[0])
              )}
            </p>
          )}
          {answer.length > answer.text.length && (
            <p className="jp-ModelService-help">
              {trans.__('The first %1 of %2 characters are shown.', answer.text.length, answer.length)}
            </p>
          )}
          {answer.size === null && (
            <div className="jp-ModelService-bar">
              <Copy text={answer.text} label={trans.__('Copy the answer')} trans={trans} onCopy={onCopy} />
            </div>
          )}
          <details>
            <summary>{trans.__('Headers of the answer')}</summary>
            <pre className="jp-ModelService-code">
              {spelled(answer.headers.map(([name, value]) => `${name}: ${value}`).join('\n'))}
            </pre>
          </details>
        </>
      )}
    </section>
  );
}

function times(answer: Answer, trans: TranslationBundle): string[] {
  const first = answer.firstByteMs;
  const total = answer.totalMs;
  return [
    ...(first === null ? [] : [trans.__('first byte after %1', latency(first / 1000, trans))]),
    ...(total === null
      ? [trans.__('coming …')]
      : answer.outcome === 'stopped'
        ? [trans.__('stopped after %1', latency(total / 1000, trans))]
        : answer.outcome === 'broken'
          ? [trans.__('broken off after %1', latency(total / 1000, trans))]
          : [trans.__('whole after %1', latency(total / 1000, trans))])
  ];
}

function refusedByGateway(answer: Answer): boolean {
  return answer.headers.some(([name]) => name.toLowerCase() === 'x-model-service-error');
}

function typeOf({ headers }: Answer): string {
  return headers.find(([name]) => name.toLowerCase() === 'content-type')?.[1] ?? '';
}

/** JSON in lines, once it is there. */
function shown(answer: Answer): string {
  const { text, outcome } = answer;
  if (outcome !== 'whole' || text.length > MOST_PRETTY || !/\bjson\b/.test(typeOf(answer))) {
    return text;
  }
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

export interface SnippetsProps {
  languages: readonly Language[];
  /** The text in a language. */
  write: (language: Language) => string;
  isPublic: boolean;
  trans: TranslationBundle;
  onCopy: (text: string) => void;
  /** Null where there are no notebooks. The answer: why it cannot be done now. */
  onInsert: ((language: Language) => string | null) | null;
}

export function Snippets(props: SnippetsProps): JSX.Element {
  const { languages, trans, onInsert } = props;
  const [language, setLanguage] = useState(languages[0]);
  const [said, setSaid] = useState('');
  const id = useId();
  const text = props.write(language);
  return (
    <section aria-label={trans.__('The same call elsewhere')}>
      <h3>{trans.__('The same call elsewhere')}</h3>
      <div className="jp-ModelService-bar">
        <label htmlFor={id}>{trans.__('As')}</label>
        <select
          id={id}
          className="jp-mod-styled"
          value={language}
          onChange={event => {
            setLanguage(event.target.value as Language);
            setSaid('');
          }}
        >
          {languages.map(each => (
            <option key={each} value={each}>
              {nameOf(each, trans)}
            </option>
          ))}
        </select>
        <Copy text={text} label={trans.__('Copy the call')} trans={trans} onCopy={props.onCopy} />
        {onInsert !== null && (
          <Button
            text={trans.__('Insert as Cell')}
            title={trans.__('Below the current cell of the notebook that was used last')}
            onClick={() => setSaid(onInsert(language) ?? trans.__('Inserted.'))}
          />
        )}
        <span role="status">{said}</span>
      </div>
      <pre className="jp-ModelService-code" tabIndex={0} role="group" aria-label={trans.__('The call')}>
        {text}
      </pre>
      <p className="jp-ModelService-help">{helpOf(language, props.isPublic, trans)}</p>
    </section>
  );
}

function nameOf(language: Language, trans: TranslationBundle): string {
  switch (language) {
    case 'curl':
      return trans.__('curl');
    case 'python':
      return trans.__('Python');
    case 'openai':
      return trans.__('OpenAI client');
    case 'magic':
      return trans.__('Notebook magic');
  }
}

function helpOf(language: Language, isPublic: boolean, trans: TranslationBundle): string {
  if (language === 'magic') {
    return trans.__(
      'With your own rights: no token is needed. Load it once with %load_ext jupyter_model_service.'
    );
  }
  const token = trans.__(
    'Put one of the service’s tokens into the variable MODEL_SERVICE_TOKEN; it is not shown here.'
  );
  const model = language === 'openai' ? trans.__('For models that speak OpenAI’s API.') : '';
  return [model, isPublic ? '' : token].filter(each => each !== '').join(' ');
}
