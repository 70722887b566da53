/** Who did what with the service, from where, what became of it, and what was denied to whom. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useState } from 'react';

import { SECONDS } from '../bounds';
import { clean, moment } from '../format';
import type { AuditEntry } from '../types';
import { Button, Notice, Table, useWork } from './pieces';

const LONGEST = 300; // characters of what changed; the file has all of it

export interface AuditActions {
  onLook: () => void;
  onOlder: () => Promise<void>;
  /** All that there is, as a file of JSON lines. */
  onSave: () => Promise<void>;
}

export interface AuditProps extends AuditActions {
  /** Null until they are known. */
  entries: readonly AuditEntry[] | null;
  more: boolean;
  problem: string | null;
  now: number;
  trans: TranslationBundle;
}

export function Audit(props: AuditProps): JSX.Element {
  const { entries, more, problem, now, trans } = props;
  const [search, setSearch] = useState('');
  const [denied, setDenied] = useState(false);
  const { busy, refused, run } = useWork();
  if (entries === null) {
    return problem === null ? (
      <Notice text={trans.__('Looking who did what …')} kind="busy" />
    ) : (
      <Notice text={problem} kind="bad">
        <Button text={trans.__('Try Again')} look="accept" onClick={props.onLook} />
      </Notice>
    );
  }
  const words = search.toLowerCase();
  const found = entries
    .filter(each => !denied || each.status >= 400)
    .filter(each => `${each.who} ${each.action} ${each.address} ${each.code}`.toLowerCase().includes(words))
    .reverse();
  return (
    <>
      {problem !== null && <Notice text={trans.__('What is shown may be old: %1', problem)} kind="bad" />}
      <div className="jp-ModelService-bar">
        <input
          className="jp-mod-styled"
          type="search"
          value={search}
          placeholder={trans.__('Find who or what')}
          aria-label={trans.__('Find who or what')}
          onChange={event => setSearch(event.target.value)}
        />
        <label>
          <input type="checkbox" checked={denied} onChange={event => setDenied(event.target.checked)} />{' '}
          {trans.__('Only what was refused')}
        </label>
        <span className="jp-ModelService-help" role="status">
          {trans._n('%1 entry', '%1 entries', found.length)}
        </span>
        <Button text={trans.__('Look Again')} onClick={props.onLook} />
        <Button
          text={trans.__('Save All…')}
          title={trans.__('All entries, also older ones, as a file with a line of JSON for each')}
          disabled={busy}
          onClick={() => void run(props.onSave)}
        />
      </div>
      {refused !== null && <Notice text={refused} kind="bad" />}
      {entries.length === 0 ? (
        <Notice text={trans.__('Nobody has done anything with it yet.')} />
      ) : (
        <Table
          caption={trans.__('Who did what, the newest first')}
          columns={[
            trans.__('When'),
            trans.__('Who'),
            trans.__('From'),
            trans.__('What'),
            trans.__('Outcome'),
            trans.__('What changed')
          ]}
        >
          {found.map(each => (
            <tr key={each.id} className={each.status >= 400 ? 'jp-mod-bad' : undefined} data-entry={each.id}>
              <td className="jp-mod-when">{moment(each.at, now)}</td>
              <th scope="row">{clean(each.who) || trans.__('nobody who is known')}</th>
              <td>{clean(each.address) || '–'}</td>
              <td>{clean(each.action).replace(/_/g, ' ')}</td>
              <td>{outcome(each, trans)}</td>
              <td className="jp-ModelService-why">{changed(each, now, trans)}</td>
            </tr>
          ))}
        </Table>
      )}
      {more && (
        <Button text={trans.__('Show older ones')} disabled={busy} onClick={() => void run(props.onOlder)} />
      )}
    </>
  );
}

function outcome({ status, code, count }: AuditEntry, trans: TranslationBundle): string {
  const said = status < 400 ? trans.__('done') : trans.__('refused: %1', `${status} ${clean(code)}`.trim());
  return count > 1 ? trans.__('%1, %2 times', said, count) : said;
}

type State = Record<string, unknown>;

const NOTHING = '-';
const TRIED = 'tried ';
const LAST = 1e11; // Unix time of the year 5138

/**
 * "replicas: 1 → 3" for each that changed; where there was nothing before, or is nothing after, what there is, or was.
 * The same words as those of `jupyter model-service audit`.
 */
export function changed(
  { before, after }: Pick<AuditEntry, 'before' | 'after'>,
  now: number,
  trans: TranslationBundle
): string {
  const was = new Map(leaves(before ?? {}, now, trans));
  const is = new Map(leaves(after ?? {}, now, trans));
  const both = some(before) && some(after);
  const said: string[] = [];
  for (const name of new Set([...was.keys(), ...is.keys()])) {
    const [old, fresh] = [was.get(name) ?? NOTHING, is.get(name) ?? NOTHING];
    if (!both || name.startsWith(TRIED)) {
      said.push(`${name}: ${old === NOTHING ? fresh : old}`);
    } else if (old !== fresh) {
      said.push(`${name}: ${old} → ${fresh}`);
    }
  }
  const text = said.join(', ');
  return clean(text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text);
}

function some(state: unknown): boolean {
  return typeof state === 'object' && state !== null && Object.keys(state).length > 0;
}

/** Each value that there is, with what leads to it: "limits calls_per_day". */
function leaves(state: State, now: number, trans: TranslationBundle, name = ''): [string, string][] {
  return Object.entries(state).flatMap(([key, value]): [string, string][] => {
    const whole = `${name} ${plain(key)}`.trim();
    if (isState(value)) {
      return leaves(value, now, trans, whole);
    }
    const said = timed(key, value, now, trans) ?? word(value);
    return said === NOTHING ? [] : [[whole, said]];
  });
}

function isState(value: unknown): value is State {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function timed(name: string, value: unknown, now: number, trans: TranslationBundle): string | null {
  if (typeof value !== 'number' || value < 0 || value >= LAST) {
    return null;
  }
  if (name.endsWith('_at')) {
    return moment(value, now);
  }
  return SECONDS.includes(name) ? lasting(value, trans) : null;
}

/** "30 d", "90 min": exactly, unlike what is shown of what goes on. */
function lasting(seconds: number, trans: TranslationBundle): string {
  const whole = (size: number) => seconds >= size && seconds % size === 0;
  if (whole(86400)) {
    return trans.__('%1 d', seconds / 86400);
  }
  if (whole(3600)) {
    return trans.__('%1 h', seconds / 3600);
  }
  return whole(60) ? trans.__('%1 min', seconds / 60) : trans.__('%1 s', seconds);
}

function word(value: unknown): string {
  if (typeof value === 'boolean') {
    return value ? 'yes' : 'no';
  }
  if (Array.isArray(value)) {
    return value.length === 0 ? NOTHING : `[${value.map(word).join(', ')}]`;
  }
  if (isState(value)) {
    const words = Object.entries(value).map(([key, each]): [string, string] => [plain(key), word(each)]);
    return (
      words
        .filter(([, each]) => each !== NOTHING)
        .map(pair => pair.join(' '))
        .join(' ') || NOTHING
    );
  }
  return value === null || value === undefined || value === '' ? NOTHING : plain(String(value));
}

/** What somebody wrote, in quotes where it could be taken for words of this line. */
function plain(text: string): string {
  return /^(?!(?:yes|no)$)[\p{L}\p{N}_./@+~#%=*?&-]*[\p{L}\p{N}_/*](?::[\p{L}\p{N}_./@+~#%=*?&:-]+)?$/u.test(
    text
  )
    ? text
    : JSON.stringify(text);
}
