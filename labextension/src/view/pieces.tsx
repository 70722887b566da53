/** What several tabs are made of. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useId, useState } from 'react';

export interface NoticeProps {
  text: string;
  /** `bad` is read out at once. */
  kind?: 'quiet' | 'bad' | 'busy';
  children?: React.ReactNode;
}

/** What stands in the place of something, or above it. */
export function Notice({ text, kind = 'quiet', children }: NoticeProps): JSX.Element {
  return (
    <div
      className={`jp-ModelService-said jp-mod-${kind}`}
      role={kind === 'bad' ? 'alert' : 'status'}
      aria-busy={kind === 'busy'}
    >
      <p>{text}</p>
      {children}
    </div>
  );
}

export interface ButtonProps {
  text: string;
  /** Where the text alone does not say enough to who cannot see where the button is. */
  label?: string;
  title?: string;
  look?: 'plain' | 'accept' | 'warn';
  disabled?: boolean;
  onClick: () => void;
}

export function Button({
  text,
  label,
  title,
  look = 'plain',
  disabled = false,
  onClick
}: ButtonProps): JSX.Element {
  const looks = { plain: '', accept: ' jp-mod-accept', warn: ' jp-mod-warn' };
  return (
    <button
      type="button"
      className={`jp-ModelService-button jp-Button jp-mod-styled${looks[look] || ' jp-mod-reject'}`}
      aria-label={label}
      title={title}
      disabled={disabled}
      onClick={onClick}
    >
      {text}
    </button>
  );
}

export interface CopyProps {
  text: string;
  /** "Copy the endpoint" */
  label: string;
  trans: TranslationBundle;
  onCopy: (text: string) => void;
}

/** Says that it has done it until one goes on to something else. */
export function Copy({ text, label, trans, onCopy }: CopyProps): JSX.Element {
  const [done, setDone] = useState(false);
  const forget = () => setDone(false);
  return (
    <span onBlur={forget} onMouseLeave={forget}>
      <Button
        text={done ? trans.__('Copied') : trans.__('Copy')}
        label={done ? undefined : label}
        title={label}
        onClick={() => {
          onCopy(text);
          setDone(true);
        }}
      />
      <span className="jp-ModelService-spoken" role="status">
        {done ? trans.__('Copied') : ''}
      </span>
    </span>
  );
}

export interface PageLinkProps {
  /** Where a browser opens the service, if it may. */
  page: string | null | undefined;
  /** "Open the page of ann/chat" */
  label: string;
  /** What stands there, instead of "Open page". */
  text?: string;
  trans: TranslationBundle;
}

export function PageLink({ page, label, text, trans }: PageLinkProps): JSX.Element | null {
  if (!page || !/^https?:\/\//.test(page)) {
    return null;
  }
  return (
    <a
      className="jp-ModelService-link"
      href={page}
      target="_blank"
      rel="noopener noreferrer"
      aria-label={label}
      title={page}
    >
      {text ?? trans.__('Open page')}
    </a>
  );
}

export interface FieldProps {
  label: string;
  value: string;
  help?: string;
  problem?: string;
  /** Of what is chosen from: what may be typed all the same. */
  choices?: readonly string[];
  /** What is to be said of some of them. */
  remarks?: Readonly<Record<string, string>>;
  disabled?: boolean;
  placeholder?: string;
  /** In characters. */
  width?: number;
  onChange: (value: string) => void;
}

export function Field(props: FieldProps): JSX.Element {
  const id = useId();
  const told = [props.help && `${id}-help`, props.problem && `${id}-problem`].filter(Boolean).join(' ');
  return (
    <div className="jp-ModelService-field">
      <label htmlFor={id}>{props.label}</label>
      <input
        id={id}
        className="jp-mod-styled"
        style={{ width: `${props.width ?? 10}ch` }}
        value={props.value}
        disabled={props.disabled}
        placeholder={props.placeholder}
        list={props.choices && `${id}-choices`}
        aria-invalid={props.problem !== undefined}
        aria-describedby={told || undefined}
        autoComplete="off"
        spellCheck={false}
        onChange={event => props.onChange(event.target.value)}
      />
      {props.choices && (
        <datalist id={`${id}-choices`}>
          {props.choices.map(each => (
            <option key={each} value={each} label={props.remarks?.[each]} />
          ))}
        </datalist>
      )}
      {props.help && (
        <span id={`${id}-help`} className="jp-ModelService-help">
          {props.help}
        </span>
      )}
      {props.problem && (
        <span id={`${id}-problem`} className="jp-ModelService-wrong" role="alert">
          {props.problem}
        </span>
      )}
    </div>
  );
}

export interface TableProps {
  /** What it lists, for who cannot see the heading above it. */
  caption: string;
  columns: readonly string[];
  /** It leaves room for what stands below it. */
  low?: boolean;
  children: React.ReactNode;
}

export function Table({ caption, columns, low = false, children }: TableProps): JSX.Element {
  return (
    <div
      className={`jp-ModelService-scroll${low ? ' jp-mod-low' : ''}`}
      tabIndex={0}
      role="group"
      aria-label={caption}
    >
      <table className="jp-ModelService-table">
        <thead>
          <tr>
            {columns.map((each, i) =>
              each === '' ? (
                <td key={i} />
              ) : (
                <th key={i} scope="col">
                  {each}
                </th>
              )
            )}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

/** Does something that can be refused: while it is under way nothing else is done, and the refusal is told. */
export function useWork(): {
  busy: boolean;
  refused: string | null;
  run: (work: () => Promise<unknown>) => Promise<boolean>;
  forget: () => void;
} {
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState<string | null>(null);
  const run = async (work: () => Promise<unknown>): Promise<boolean> => {
    setBusy(true);
    setRefused(null);
    try {
      await work();
      return true;
    } catch (error) {
      setRefused(error instanceof Error ? error.message : String(error));
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { busy, refused, run, forget: () => setRefused(null) };
}
