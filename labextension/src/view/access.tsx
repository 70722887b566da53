/** With whom a service is shared, as what; and who may do what with it, and why. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useState } from 'react';

import { moment } from '../format';
import { roleSentence, roleWord, SHARED_ROLES } from '../roles';
import type { Access as AccessInfo, ShareInfo, ShareRequest, UseList } from '../types';
import { formOf, labelsOf, LIMITS, limitsFrom, limitsWords, NO_LIMITS, problemOf } from './limits';
import { Origins } from './origins';
import { Button, Field, Notice, Table, useWork } from './pieces';
import { Uses } from './uses';

type SharedRole = (typeof SHARED_ROLES)[number];

export interface AccessActions {
  /** In the place of what was shared with the same user or group. */
  onShare: (kind: ShareInfo['kind'], name: string, body: ShareRequest) => Promise<void>;
  /** Asks first; resolves to false where it was not wanted after all. */
  onUnshare: (share: ShareInfo) => Promise<boolean>;
  /** Whose pages may call it from a browser, in the place of the former ones. */
  onOrigins: (origins: readonly string[]) => Promise<void>;
  /** What this user may do. */
  onAsk: (user: string) => Promise<void>;
  onLook: () => void;
}

export interface AccessProps extends AccessActions {
  /** Null until it is known. */
  access: AccessInfo | null;
  /** Null until it is known. */
  uses: UseList | null;
  /** Whether there is anybody to share with. */
  people: boolean | null;
  problem: string | null;
  now: number;
  trans: TranslationBundle;
}

export function Access(props: AccessProps): JSX.Element {
  const { access, people, problem, trans } = props;
  if (access === null) {
    return problem === null ? (
      <Notice text={trans.__('Looking who may call it …')} kind="busy" />
    ) : (
      <Notice text={problem} kind="bad">
        <Button text={trans.__('Try Again')} look="accept" onClick={props.onLook} />
      </Notice>
    );
  }
  return (
    <>
      {problem !== null && <Notice text={trans.__('What is shown may be old: %1', problem)} kind="bad" />}
      {people === true && (
        <section aria-label={trans.__('Shared with')}>
          <h3>{trans.__('Shared with')}</h3>
          <Shares {...props} shares={access.shares} />
          <Add {...props} />
        </section>
      )}
      {access.origins !== undefined && ( // an older gateway tells of none
        <Origins origins={access.origins} trans={trans} onOrigins={props.onOrigins} />
      )}
      {props.uses !== null && <Uses uses={props.uses} now={props.now} trans={trans} onLook={props.onLook} />}
      <section aria-label={trans.__('Who may do what, and why')}>
        <h3>{trans.__('Who may do what, and why')}</h3>
        <ul>
          {access.always.map(sentence => (
            <li key={sentence}>{sentence}</li>
          ))}
        </ul>
        {people === true && <Ask {...props} access={access} />}
      </section>
    </>
  );
}

function Shares(props: AccessProps & { shares: readonly ShareInfo[] }): JSX.Element {
  const { shares, now, trans, onShare, onUnshare } = props;
  const { busy, refused, run } = useWork();
  const [limiting, setLimiting] = useState<string | null>(null);
  const limited = shares.find(each => `${each.kind}/${each.name}` === limiting);
  if (shares.length === 0) {
    return <Notice text={trans.__('It is shared with nobody.')} />;
  }
  const kinds = { user: trans.__('user'), group: trans.__('group') };
  return (
    <>
      <Table
        caption={trans.__('Shared with')}
        columns={[
          trans.__('Name'),
          trans.__('Kind'),
          trans.__('Role'),
          trans.__('Limits for each'),
          trans.__('Shared'),
          trans.__('By'),
          ''
        ]}
      >
        {shares.map(each => (
          <tr key={`${each.kind}/${each.name}`} data-share={`${each.kind}/${each.name}`}>
            <th scope="row" title={each.former ? formerSentence(each, trans) : undefined}>
              {each.former ? trans.__('%1 (former)', each.name) : each.name}
            </th>
            <td>{kinds[each.kind]}</td>
            <td>
              <RoleChoice
                label={trans.__('Role of %1', each.name)}
                value={each.role}
                disabled={busy || each.former}
                trans={trans}
                onChange={role =>
                  void run(() => onShare(each.kind, each.name, { role, limits: each.limits }))
                }
              />
            </td>
            <td>{limitsWords(each.limits, trans)}</td>
            <td className="jp-mod-when">{moment(each.created_at, now)}</td>
            <td>{each.created_by || '–'}</td>
            <td>
              <Button
                text={trans.__('Limits…')}
                label={trans.__('Limits for %1', each.name)}
                disabled={each.former}
                onClick={() => setLimiting(`${each.kind}/${each.name}`)}
              />
              <Button
                text={trans.__('Unshare…')}
                label={trans.__('Share it with %1 no more', each.name)}
                disabled={busy}
                onClick={() => void run(() => onUnshare(each))}
              />
            </td>
          </tr>
        ))}
      </Table>
      {shares
        .filter(each => each.former)
        .map(each => (
          <Notice key={each.name} text={formerSentence(each, trans)} />
        ))}
      {limited !== undefined && (
        <ShareLimits
          key={limiting}
          share={limited}
          trans={trans}
          onShare={onShare}
          onDone={() => setLimiting(null)}
        />
      )}
      {refused !== null && <Notice text={refused} kind="bad" />}
    </>
  );
}

/** Of a share that lets nobody in any more. */
function formerSentence(share: ShareInfo, trans: TranslationBundle): string {
  return trans.__(
    '%1 (former) was deleted, and another user has the name: unshare it, and share it again if it is for the %1 of now.',
    share.name
  );
}

/** Of a share that there is: for each person whom it lets in. */
function ShareLimits({
  share,
  trans,
  onShare,
  onDone
}: Pick<AccessProps, 'trans' | 'onShare'> & { share: ShareInfo; onDone: () => void }): JSX.Element {
  const [form, setForm] = useState(formOf(share.limits));
  const { busy, refused, run } = useWork();
  const labels = labelsOf(trans);
  const wrong = LIMITS.some(each => problemOf(each, form[each], trans) !== null);
  const submit = async (event: React.FormEvent) => {
    event.preventDefault();
    const given = LIMITS.some(each => form[each].trim() !== '');
    const body = { role: share.role, limits: given ? limitsFrom(form) : null };
    if (!wrong && (await run(() => onShare(share.kind, share.name, body)))) {
      onDone();
    }
  };
  const title =
    share.kind === 'group'
      ? trans.__('Limits for each in %1', share.name)
      : trans.__('Limits of %1', share.name);
  return (
    <form className="jp-ModelService-form" aria-label={title} onSubmit={event => void submit(event)}>
      <strong>{title}</strong>
      {LIMITS.map(each => (
        <Field
          key={each}
          label={labels[each]}
          value={form[each]}
          placeholder={trans.__('no limit')}
          problem={problemOf(each, form[each], trans) ?? undefined}
          onChange={text => setForm({ ...form, [each]: text })}
        />
      ))}
      <button
        type="submit"
        className="jp-ModelService-button jp-Button jp-mod-styled jp-mod-accept"
        disabled={busy || wrong}
      >
        {trans.__('Set Limits')}
      </button>
      <Button text={trans.__('Cancel')} onClick={onDone} />
      {refused !== null && <Notice text={refused} kind="bad" />}
    </form>
  );
}

function RoleChoice(props: {
  label: string;
  value: SharedRole;
  disabled?: boolean;
  trans: TranslationBundle;
  onChange: (role: SharedRole) => void;
}): JSX.Element {
  const { value, trans } = props;
  return (
    <select
      className="jp-mod-styled"
      aria-label={props.label}
      title={roleSentence(value, trans)}
      value={value}
      disabled={props.disabled}
      onChange={event => props.onChange(event.target.value as SharedRole)}
    >
      {SHARED_ROLES.map(each => (
        <option key={each} value={each}>
          {roleWord(each, trans)}
        </option>
      ))}
    </select>
  );
}

function Add({ trans, onShare }: AccessProps): JSX.Element {
  const [kind, setKind] = useState<ShareInfo['kind']>('user');
  const [name, setName] = useState('');
  const [role, setRole] = useState<SharedRole>('caller');
  const [limits, setLimits] = useState(NO_LIMITS);
  const { busy, refused, run } = useWork();
  const labels = labelsOf(trans);
  const wrong = LIMITS.some(each => problemOf(each, limits[each], trans) !== null);
  const submit = async (event: React.FormEvent) => {
    event.preventDefault();
    const whom = name.trim();
    if (whom === '' || wrong) {
      return;
    }
    const given = LIMITS.some(each => limits[each].trim() !== '');
    if (await run(() => onShare(kind, whom, { role, limits: given ? limitsFrom(limits) : null }))) {
      setName('');
      setLimits(NO_LIMITS);
    }
  };
  return (
    <form
      className="jp-ModelService-form"
      aria-label={trans.__('Share the service')}
      onSubmit={event => void submit(event)}
    >
      <label className="jp-ModelService-field">
        <span>{trans.__('Share with')}</span>
        <select
          className="jp-mod-styled"
          value={kind}
          onChange={event => setKind(event.target.value as ShareInfo['kind'])}
        >
          <option value="user">{trans.__('the user')}</option>
          <option value="group">{trans.__('everybody in the group')}</option>
        </select>
      </label>
      <Field
        label={kind === 'user' ? trans.__('Name of the user') : trans.__('Name of the group')}
        value={name}
        width={20}
        onChange={setName}
      />
      <div className="jp-ModelService-field">
        <span>{trans.__('as')}</span>
        <RoleChoice label={trans.__('Role')} value={role} trans={trans} onChange={setRole} />
        <span className="jp-ModelService-help">{roleSentence(role, trans)}</span>
      </div>
      {LIMITS.map(each => (
        <Field
          key={each}
          label={labels[each]}
          value={limits[each]}
          placeholder={trans.__('no limit')}
          problem={problemOf(each, limits[each], trans) ?? undefined}
          onChange={text => setLimits({ ...limits, [each]: text })}
        />
      ))}
      <button
        type="submit"
        className="jp-ModelService-button jp-Button jp-mod-styled jp-mod-accept"
        disabled={busy || name.trim() === ''}
      >
        {trans.__('Share')}
      </button>
      {refused !== null && <Notice text={refused} kind="bad" />}
    </form>
  );
}

function Ask({ access, trans, onAsk }: AccessProps & { access: AccessInfo }): JSX.Element {
  const [name, setName] = useState('');
  const { busy, refused, run } = useWork();
  const { person } = access;
  const submit = (event: React.FormEvent) => {
    event.preventDefault();
    if (name.trim() !== '') {
      void run(() => onAsk(name.trim()));
    }
  };
  return (
    <>
      <form className="jp-ModelService-form" aria-label={trans.__('What may a user do?')} onSubmit={submit}>
        <Field label={trans.__('What may this user do?')} value={name} width={20} onChange={setName} />
        <button
          type="submit"
          className="jp-ModelService-button jp-Button jp-mod-styled"
          disabled={busy || name.trim() === ''}
        >
          {trans.__('Tell')}
        </button>
      </form>
      {refused !== null && <Notice text={refused} kind="bad" />}
      {person !== null && (
        <div role="status">
          <p>
            <strong>{person.name}</strong>{' '}
            {person.role !== null
              ? roleSentence(person.role, trans)
              : person.perhaps !== null
                ? trans.__('may do nothing with it by name')
                : trans.__(
                    'may do nothing with it by a share: but for whom the administrator lets in, there is no such service'
                  )}
          </p>
          {person.perhaps !== null && (
            <p>
              {trans.__('In such a group as is told below:')} <strong>{person.name}</strong>{' '}
              {roleSentence(person.perhaps, trans)}
            </p>
          )}
          <ul>
            {person.why.map(sentence => (
              <li key={sentence}>{sentence}</li>
            ))}
          </ul>
        </div>
      )}
    </>
  );
}
