/** Where there is no definition: what the folder is, what has to be known of it, and what would be written. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useState } from 'react';

import type { Draft, DraftFile, Field as FieldInfo, Guess, Kind } from '../types';
import { Field, Notice } from '../view/pieces';

/** Between the last key and the question what would be written. */
const WAIT = 300; // milliseconds

export type Filled = Record<string, string | number | boolean>;

export interface WizardProps {
  /** Where the folder is, in words. */
  folder: string;
  kinds: readonly Kind[];
  /** The best first. */
  guesses: readonly Guess[];
  trans: TranslationBundle;
  /** What would be written, or with `write` is. Rejects with what is wrong. */
  onDraft: (kind: string, fields: Filled, write: boolean) => Promise<Draft>;
  /** It is written. */
  onWritten: (draft: Draft) => void;
  onOther: (() => void) | null;
}

export function Wizard(props: WizardProps): JSX.Element {
  const { kinds, guesses, trans, onDraft } = props;
  const [name, setName] = useState(guesses[0]?.kind ?? kinds[0]?.name ?? '');
  const [typed, setTyped] = useState<Record<string, Filled>>({});
  const [draft, setDraft] = useState<Draft | null>(null);
  const [refused, setRefused] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const kind = kinds.find(each => each.name === name);
  const fields = kind === undefined ? {} : filled(kind, guesses, typed[name]);
  const asked = JSON.stringify([name, fields]);

  useEffect(() => {
    if (kind === undefined) {
      return;
    }
    let old = false;
    const timer = setTimeout(() => {
      onDraft(name, fields, false).then(
        found => {
          if (!old) {
            setDraft(found);
            setRefused(null);
          }
        },
        error => {
          if (!old) {
            setDraft(null);
            setRefused(wordsOf(error));
          }
        }
      );
    }, WAIT);
    return () => {
      old = true;
      clearTimeout(timer);
    };
  }, [asked]);

  const write = async () => {
    setBusy(true);
    try {
      props.onWritten(await onDraft(name, fields, true));
    } catch (error) {
      setRefused(wordsOf(error));
    } finally {
      setBusy(false);
    }
  };

  return (
    <form
      className="jp-ModelService-deploy-form"
      aria-label={trans.__('Model definition')}
      aria-busy={busy}
      onSubmit={event => {
        event.preventDefault();
        void write();
      }}
    >
      <p>
        {trans.__('%1 has no model-definition.yaml, which says how it is served. What is it?', props.folder)}{' '}
        {props.onOther !== null && (
          <button type="button" className="jp-ModelService-link" onClick={props.onOther}>
            {trans.__('another folder')}
          </button>
        )}
      </p>
      <Kinds kinds={kinds} guesses={guesses} chosen={name} trans={trans} onChoose={setName} />
      {kind !== undefined && (
        <fieldset disabled={busy}>
          <legend>{kind.title}</legend>
          {kind.fields.map(each => (
            <KindField
              key={`${name} ${each.name}`}
              field={each}
              value={String(fields[each.name])}
              onChange={value => setTyped({ ...typed, [name]: { ...typed[name], [each.name]: value } })}
            />
          ))}
        </fieldset>
      )}
      {refused !== null && <Notice kind="bad" text={refused} />}
      {draft === null && refused === null && kind !== undefined && (
        <Notice kind="busy" text={trans.__('Drafting the files …')} />
      )}
      {draft?.files.map(each => (
        <Preview key={each.name} file={each} trans={trans} />
      ))}
      <div className="jp-ModelService-bar">
        <button
          type="submit"
          className="jp-ModelService-button jp-Button jp-mod-styled jp-mod-accept"
          disabled={busy || draft === null || refused !== null}
        >
          {trans.__('Write the Files')}
        </button>
      </div>
    </form>
  );
}

/** What was typed, else what was found in the folder, else the default. */
function filled(kind: Kind, guesses: readonly Guess[], typed: Filled | undefined): Filled {
  const guessed = guesses.find(each => each.kind === kind.name)?.fields ?? {};
  return Object.fromEntries(
    kind.fields.map(each => [each.name, typed?.[each.name] ?? guessed[each.name] ?? each.default])
  );
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

interface KindsProps {
  kinds: readonly Kind[];
  guesses: readonly Guess[];
  chosen: string;
  trans: TranslationBundle;
  onChoose: (kind: string) => void;
}

/** What fits the folder comes first, with the reason. */
function Kinds({ kinds, guesses, chosen, trans, onChoose }: KindsProps): JSX.Element {
  const id = React.useId();
  const rank = (kind: Kind) => {
    const at = guesses.findIndex(each => each.kind === kind.name);
    return at < 0 ? guesses.length : at;
  };
  return (
    <fieldset>
      <legend>{trans.__('Kind of model')}</legend>
      {[...kinds]
        .sort((a, b) => rank(a) - rank(b))
        .map(kind => (
          <label className="jp-ModelService-choice" key={kind.name}>
            <input
              type="radio"
              name={id}
              checked={kind.name === chosen}
              aria-describedby={`${id}-${kind.name}`}
              onChange={() => onChoose(kind.name)}
            />
            <span>
              <strong>{kind.title}</strong>{' '}
              <span id={`${id}-${kind.name}`} className="jp-ModelService-help">
                {guesses.find(each => each.kind === kind.name)?.reason ?? kind.help}
              </span>
            </span>
          </label>
        ))}
    </fieldset>
  );
}

interface KindFieldProps {
  field: FieldInfo;
  value: string;
  onChange: (value: string) => void;
}

function KindField({ field, value, onChange }: KindFieldProps): JSX.Element {
  const id = React.useId();
  if (field.type !== 'choice') {
    const width = { number: 8, text: 28, file: 28, command: 60 }[field.type];
    return <Field label={field.label} value={value} help={field.help} width={width} onChange={onChange} />;
  }
  return (
    <div className="jp-ModelService-field">
      <label htmlFor={id}>{field.label}</label>
      <select
        id={id}
        className="jp-mod-styled"
        value={value}
        aria-describedby={`${id}-help`}
        onChange={event => onChange(event.target.value)}
      >
        {field.choices.map(each => (
          <option key={each}>{each}</option>
        ))}
      </select>
      <span id={`${id}-help`} className="jp-ModelService-help">
        {field.help}
      </span>
    </div>
  );
}

function Preview({ file, trans }: { file: DraftFile; trans: TranslationBundle }): JSX.Element {
  const lines = file.text.split('\n');
  return (
    <section aria-label={file.name}>
      <h3>{file.name}</h3>
      {file.exists ? (
        <p>{trans.__('The folder has one already, which stays as it is.')}</p>
      ) : (
        <>
          {file.notes.length > 0 && (
            <dl className="jp-ModelService-notes">
              {file.notes.map(each => (
                <div key={each.line}>
                  <dt>
                    <code>{lines[each.line - 1]?.trim()}</code>
                  </dt>
                  <dd>{each.text}</dd>
                </div>
              ))}
            </dl>
          )}
          <details open={file.notes.length === 0 || undefined}>
            <summary>{trans.__('The whole file')}</summary>
            <pre className="jp-ModelService-code">{file.text}</pre>
          </details>
        </>
      )}
    </section>
  );
}
