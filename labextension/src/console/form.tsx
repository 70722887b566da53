/** The call, as it is typed, and those that are kept. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useId, useState } from 'react';

import { BOUNDS } from '../bounds';
import type { SampleRequest } from '../types';
import { Button, Field, useWork } from '../view/pieces';
import { Method, METHODS, takesBody, Typed, Wrong } from './request';

export interface CallFormProps {
  typed: Typed;
  wrong: Wrong;
  sending: boolean;
  trans: TranslationBundle;
  onChange: (part: Partial<Typed>) => void;
  onSend: () => void;
  onStop: () => void;
}

export function CallForm(props: CallFormProps): JSX.Element {
  const { typed, wrong, sending, trans, onChange } = props;
  const id = useId();
  const wrongNow = Object.keys(wrong).length > 0;
  return (
    <form
      aria-label={trans.__('Call')}
      onSubmit={event => {
        event.preventDefault();
        props.onSend();
      }}
      onKeyDown={event => {
        if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && !sending && !wrongNow) {
          event.preventDefault();
          props.onSend();
        }
      }}
    >
      <div className="jp-ModelService-call">
        <div className="jp-ModelService-field">
          <label htmlFor={`${id}-method`}>{trans.__('Method')}</label>
          <select
            id={`${id}-method`}
            className="jp-mod-styled"
            value={typed.method}
            onChange={event => onChange({ method: event.target.value as Method })}
          >
            {METHODS.map(each => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </div>
        <Field
          label={trans.__('Path')}
          value={typed.path}
          width={44}
          problem={wrong.path}
          onChange={path => onChange({ path })}
        />
        <button
          type="submit"
          className="jp-ModelService-button jp-Button jp-mod-styled jp-mod-accept"
          disabled={sending || wrongNow}
          title={trans.__('Ctrl+Enter')}
        >
          {trans.__('Send')}
        </button>
        {sending && <Button text={trans.__('Stop')} look="warn" onClick={props.onStop} />}
      </div>
      {takesBody(typed.method) && <Body {...props} id={id} />}
      <details open={wrong.headers !== undefined || undefined}>
        <summary>{trans.__('Headers')}</summary>
        <textarea
          aria-label={trans.__('Headers')}
          rows={3}
          value={typed.headers}
          placeholder={trans.__('Name: value')}
          spellCheck={false}
          aria-invalid={wrong.headers !== undefined}
          onChange={event => onChange({ headers: event.target.value })}
        />
        {wrong.headers && (
          <p className="jp-ModelService-wrong" role="alert">
            {wrong.headers}
          </p>
        )}
      </details>
    </form>
  );
}

function Body({ typed, wrong, trans, onChange, id }: CallFormProps & { id: string }): JSX.Element {
  return (
    <>
      <div className="jp-ModelService-bar">
        <label htmlFor={`${id}-body`}>{trans.__('Body')}</label>
        <select
          className="jp-mod-styled"
          aria-label={trans.__('Kind of the body')}
          value={typed.kind}
          onChange={event => onChange({ kind: event.target.value as Typed['kind'] })}
        >
          <option value="json">{trans.__('JSON')}</option>
          <option value="text">{trans.__('Text')}</option>
        </select>
      </div>
      <textarea
        id={`${id}-body`}
        rows={Math.min(16, Math.max(5, typed.body.split('\n').length + 1))}
        value={typed.body}
        spellCheck={false}
        aria-invalid={wrong.body !== undefined}
        aria-describedby={wrong.body === undefined ? undefined : `${id}-wrong`}
        onChange={event => onChange({ body: event.target.value })}
      />
      <p className="jp-ModelService-wrong" id={`${id}-wrong`} role="status">
        {wrong.body}
      </p>
    </>
  );
}

export interface SamplesProps {
  samples: readonly SampleRequest[];
  chosen: string | null;
  /** Of what was kept last. */
  note: string | null;
  /** Something is wrong with what is typed: it cannot be kept. */
  wrong: boolean;
  trans: TranslationBundle;
  onChoose: (name: string) => void;
  onKeep: (name: string) => Promise<void>;
  onForget: (name: string) => Promise<void>;
}

/** Of the model folder: `model-requests.json`. */
export function Samples(props: SamplesProps): JSX.Element {
  const { samples, chosen, note, wrong, trans } = props;
  const [name, setName] = useState<string | null>(null);
  const { busy, refused, run } = useWork();
  const id = useId();
  return (
    <form
      className="jp-ModelService-bar"
      aria-label={trans.__('Sample requests')}
      onSubmit={event => {
        event.preventDefault();
        void run(() => props.onKeep((name ?? '').trim())).then(done => done && setName(null));
      }}
    >
      <label htmlFor={id}>{trans.__('Sample request')}</label>
      <select
        id={id}
        className="jp-mod-styled"
        value={chosen ?? ''}
        disabled={samples.length === 0}
        onChange={event => props.onChoose(event.target.value)}
      >
        {(chosen === null || samples.length === 0) && (
          <option value="" disabled>
            {samples.length === 0 ? trans.__('none is kept yet') : trans.__('choose one')}
          </option>
        )}
        {samples.map(each => (
          <option key={each.name}>{each.name}</option>
        ))}
      </select>
      {name === null ? (
        <>
          <Button
            text={trans.__('Keep…')}
            title={trans.__('Keep this call with the model folder, in model-requests.json')}
            disabled={wrong}
            onClick={() => setName(chosen ?? '')}
          />
          {chosen !== null && (
            <Button
              text={trans.__('Forget')}
              label={trans.__('Forget the sample request %1', chosen)}
              disabled={busy}
              onClick={() => void run(() => props.onForget(chosen))}
            />
          )}
        </>
      ) : (
        <>
          <input
            className="jp-mod-styled"
            aria-label={trans.__('Name of the sample request')}
            value={name}
            maxLength={BOUNDS.SampleRequest.name.longest}
            autoFocus
            onFocus={event => event.target.select()}
            onChange={event => setName(event.target.value)}
          />
          <button
            type="submit"
            className="jp-ModelService-button jp-Button jp-mod-styled jp-mod-accept"
            disabled={busy || wrong || name.trim() === ''}
          >
            {trans.__('Keep')}
          </button>
          <Button text={trans.__('Cancel')} onClick={() => setName(null)} />
        </>
      )}
      {refused !== null && (
        <span className="jp-ModelService-wrong" role="alert">
          {refused}
        </span>
      )}
      <span className="jp-ModelService-help" role="status">
        {refused === null && name === null ? note : null}
      </span>
    </form>
  );
}
