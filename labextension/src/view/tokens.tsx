/** Tokens with which the endpoint is called: made, shown once, revoked. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useRef, useState } from 'react';

import { duration, moment } from '../format';
import type { NewToken, Token, TokenChange, TokenRequest } from '../types';
import { formOf, labelsOf, LIMITS, limitsFrom, limitsWords, NO_LIMITS, problemOf } from './limits';
import type { LimitsForm } from './limits';
import { rulesFrom, rulesProblem, rulesText } from './paths';
import { Button, Copy, Field, Notice, Table, useWork } from './pieces';
import { Rotate } from './rotate';

export interface TokensProps {
  /** Null until they are known. */
  tokens: readonly Token[] | null;
  /** The one that was just made: the only time that it is shown. */
  fresh: NewToken | null;
  isPublic: boolean;
  now: number;
  trans: TranslationBundle;
  onMake: (body: TokenRequest) => Promise<void>;
  onForget: () => void;
  onChange: (token: Token, change: TokenChange) => Promise<void>;
  /** The new one is `fresh` then. */
  onRotate: (token: Token, overlap: number) => Promise<void>;
  /** Asks first; resolves to false where it was not wanted after all. */
  onRevoke: (token: Token) => Promise<boolean>;
  onCopy: (text: string) => void;
}

const DEFAULT_DAYS = '30';
const DAY = 86400;

export function Tokens(props: TokensProps): JSX.Element {
  const { tokens, fresh, trans } = props;
  const make = useRef<HTMLFormElement>(null);
  // What is pressed is gone then: the focus goes to where the next token is made.
  const done = () => {
    make.current?.querySelector('input')?.focus();
    props.onForget();
  };
  return (
    <>
      {props.isPublic && (
        <Notice text={trans.__('The service is public: it is called without a token, too.')} />
      )}
      {fresh !== null && <Fresh fresh={fresh} trans={trans} onForget={done} onCopy={props.onCopy} />}
      <Make {...props} form={make} />
      {tokens === null ? (
        <Notice text={trans.__('Looking for the tokens …')} kind="busy" />
      ) : tokens.length === 0 ? (
        <Notice text={trans.__('There are no tokens yet.')} />
      ) : (
        <List {...props} tokens={tokens} />
      )}
    </>
  );
}

function Fresh({
  fresh,
  trans,
  onForget,
  onCopy
}: Pick<TokensProps, 'trans' | 'onForget' | 'onCopy'> & { fresh: NewToken }): JSX.Element {
  const bar = useRef<HTMLDivElement>(null);
  // It was made by a button that cannot be pressed meanwhile, and so may have lost the focus; unless that went elsewhere.
  useEffect(() => {
    const active = document.activeElement;
    if (active === document.body || bar.current?.closest('[role="tabpanel"]')?.contains(active)) {
      bar.current?.querySelector('button')?.focus();
    }
  }, [fresh.id]);
  return (
    <div className="jp-ModelService-fresh" role="status">
      <p>
        {trans.__(
          'This is the token. Copy it now: it is shown this once, and the server keeps no copy of it.'
        )}
      </p>
      {(fresh.notices ?? []).map(said => (
        <p key={said}>{said}</p>
      ))}
      <div ref={bar} className="jp-ModelService-bar">
        <code className="jp-ModelService-secret">{fresh.token}</code>
        <Copy text={fresh.token} label={trans.__('Copy the token')} trans={trans} onCopy={onCopy} />
        <Button text={trans.__('Done')} look="accept" onClick={onForget} />
      </div>
    </div>
  );
}

function Make({
  trans,
  onMake,
  form
}: TokensProps & { form: React.RefObject<HTMLFormElement> }): JSX.Element {
  const [name, setName] = useState('');
  const [days, setDays] = useState(DEFAULT_DAYS);
  const [limits, setLimits] = useState(NO_LIMITS);
  const [paths, setPaths] = useState('');
  const { busy, refused, run } = useWork();
  const submit = async (event: React.FormEvent) => {
    event.preventDefault();
    const rules = rulesFrom(paths);
    if (wrong(limits, trans) || rules === null) {
      return;
    }
    const expires_in = days === '' ? null : Number(days) * DAY;
    const given = LIMITS.some(each => limits[each].trim() !== '');
    const body = {
      name: name.trim(),
      expires_in,
      // What nobody chose may be less, where less is allowed.
      ...(days === DEFAULT_DAYS && { shorten: true }),
      ...(given && { limits: limitsFrom(limits) }),
      ...(rules.length > 0 && { rules })
    };
    if (await run(() => onMake(body))) {
      setName('');
      setLimits(NO_LIMITS);
      setPaths('');
    }
  };
  return (
    <form ref={form} className="jp-ModelService-form" onSubmit={event => void submit(event)}>
      <Field
        label={trans.__('Label')}
        value={name}
        width={24}
        placeholder={trans.__('who or what will use it')}
        onChange={setName}
      />
      <label className="jp-ModelService-field">
        <span>{trans.__('Expires')}</span>
        <select className="jp-mod-styled" value={days} onChange={event => setDays(event.target.value)}>
          {[1, 7, 30, 90, 365].map(each => (
            <option key={each} value={each}>
              {trans._n('in %1 day', 'in %1 days', each)}
            </option>
          ))}
          <option value="">{trans.__('never')}</option>
        </select>
      </label>
      <LimitFields form={limits} trans={trans} onChange={setLimits} />
      <PathField typed={paths} trans={trans} onChange={setPaths} />
      <button
        type="submit"
        className="jp-ModelService-button jp-Button jp-mod-styled jp-mod-accept"
        disabled={busy}
      >
        {busy ? trans.__('Making …') : trans.__('Make Token')}
      </button>
      {refused !== null && <Notice text={refused} kind="bad" />}
    </form>
  );
}

function wrong(form: LimitsForm, trans: TranslationBundle): boolean {
  return LIMITS.some(each => problemOf(each, form[each], trans) !== null);
}

function LimitFields({
  form,
  trans,
  onChange
}: {
  form: LimitsForm;
  trans: TranslationBundle;
  onChange: (form: LimitsForm) => void;
}): JSX.Element {
  const labels = labelsOf(trans);
  return (
    <>
      {LIMITS.map(each => (
        <Field
          key={each}
          label={labels[each]}
          value={form[each]}
          placeholder={trans.__('no limit')}
          problem={problemOf(each, form[each], trans) ?? undefined}
          onChange={text => onChange({ ...form, [each]: text })}
        />
      ))}
    </>
  );
}

function PathField({
  typed,
  trans,
  onChange
}: {
  typed: string;
  trans: TranslationBundle;
  onChange: (typed: string) => void;
}): JSX.Element {
  return (
    <Field
      label={trans.__('Only for')}
      value={typed}
      width={24}
      placeholder={trans.__('everything, or: POST /v1/chat/*')}
      problem={rulesProblem(typed, trans) ?? undefined}
      onChange={onChange}
    />
  );
}

/** Of a token that there is. All limits are sent, as they stand here; paths only where they were changed. */
function Limit({
  token,
  trans,
  onChange,
  onDone
}: Pick<TokensProps, 'trans' | 'onChange'> & { token: Token; onDone: () => void }): JSX.Element {
  const [form, setForm] = useState(formOf(token.limits));
  const [paths, setPaths] = useState(rulesText(token.rules));
  const { busy, refused, run } = useWork();
  const fields = useRef<HTMLFormElement>(null);
  useEffect(() => fields.current?.querySelector('input')?.focus(), []);
  const submit = async (event: React.FormEvent) => {
    event.preventDefault();
    const rules = rulesFrom(paths);
    if (wrong(form, trans) || rules === null) {
      return;
    }
    const change = { limits: limitsFrom(form), ...(paths !== rulesText(token.rules) && { rules }) };
    if (await run(() => onChange(token, change))) {
      onDone();
    }
  };
  const title = trans.__('Limits of %1', token.name || token.id);
  return (
    <form
      ref={fields}
      className="jp-ModelService-form"
      aria-label={title}
      onSubmit={event => void submit(event)}
    >
      <strong>{title}</strong>
      <LimitFields form={form} trans={trans} onChange={setForm} />
      <PathField typed={paths} trans={trans} onChange={setPaths} />
      <button
        type="submit"
        className="jp-ModelService-button jp-Button jp-mod-styled jp-mod-accept"
        disabled={busy}
      >
        {trans.__('Set Limits')}
      </button>
      <Button text={trans.__('Cancel')} onClick={onDone} />
      {refused !== null && <Notice text={refused} kind="bad" />}
    </form>
  );
}

function List(props: TokensProps & { tokens: readonly Token[] }): JSX.Element {
  const { tokens, now, trans, onChange, onRotate, onRevoke } = props;
  const { busy, refused, run } = useWork();
  const [limiting, setLimiting] = useState<string | null>(null);
  const [rotating, setRotating] = useState<string | null>(null);
  const table = useRef<HTMLDivElement>(null);
  const limited = tokens.find(each => each.id === limiting);
  const rotated = tokens.find(each => each.id === rotating);
  // The form that had the focus is gone then: it goes back to the button that opened it.
  const done = () => {
    const row = [...(table.current?.querySelectorAll('tr') ?? [])].find(
      each => each.dataset.token === limiting
    );
    row?.querySelector('button')?.focus();
    setLimiting(null);
  };
  return (
    <div ref={table}>
      <Table
        caption={trans.__('Tokens')}
        columns={[
          trans.__('Label'),
          trans.__('Id'),
          trans.__('Made'),
          trans.__('By'),
          trans.__('Expires'),
          trans.__('Last used'),
          trans.__('Limits'),
          trans.__('Only for'),
          trans.__('Calls today'),
          trans.__('In flight'),
          ''
        ]}
      >
        {tokens.map(each => (
          <tr key={each.id} data-token={each.id}>
            <th scope="row">{each.name || '–'}</th>
            <td>
              <code>{each.id}</code>
            </td>
            <td className="jp-mod-when">{moment(each.created_at, now)}</td>
            <td>{each.created_by || '–'}</td>
            <td>{expiry(each, now, trans)}</td>
            <td className="jp-mod-when">
              {each.last_used_at === null ? trans.__('never') : moment(each.last_used_at, now)}
            </td>
            <td>{limitsWords(each.limits, trans)}</td>
            <td>{rulesText(each.rules) || '–'}</td>
            <td>{each.calls_today ?? '–'}</td>
            <td>{each.in_flight ?? '–'}</td>
            <td>
              <Button
                text={trans.__('Limits…')}
                label={trans.__('Limits of %1', each.name || each.id)}
                onClick={() => {
                  setRotating(null);
                  setLimiting(each.id);
                }}
              />
              <Button
                text={trans.__('Rotate…')}
                label={trans.__('Rotate %1', each.name || each.id)}
                onClick={() => {
                  setLimiting(null);
                  setRotating(each.id);
                }}
              />
              <Button
                text={trans.__('Revoke…')}
                label={trans.__('Revoke %1', each.name || each.id)}
                disabled={busy}
                onClick={() => void run(() => onRevoke(each))}
              />
            </td>
          </tr>
        ))}
      </Table>
      {limited !== undefined && (
        <Limit key={limited.id} token={limited} trans={trans} onChange={onChange} onDone={done} />
      )}
      {rotated !== undefined && (
        <Rotate
          key={rotated.id}
          token={rotated}
          trans={trans}
          onRotate={onRotate}
          onDone={() => setRotating(null)}
        />
      )}
      {refused !== null && <Notice text={refused} kind="bad" />}
    </div>
  );
}

export function expiry(token: Token, now: number, trans: TranslationBundle): string {
  if (token.expires_at === null) {
    return trans.__('never');
  }
  const left = token.expires_at - now;
  // Rounded: a fresh token of 30 days is not one of 29.
  return left > 0
    ? trans.__('in %1', duration(left + 30, trans))
    : trans.__('expired %1', moment(token.expires_at, now));
}
