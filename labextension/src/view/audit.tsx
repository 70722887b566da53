/** Who did what with the service, from where, what became of it, and what was denied to whom. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useState } from 'react';

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
              <td className="jp-ModelService-why">{changed(each)}</td>
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

/** "replicas: 1 → 3" for each that changed; what there was, or what there is, where there was nothing before or after. */
export function changed({ before, after }: Pick<AuditEntry, 'before' | 'after'>): string {
  const keys = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  const text = keys
    .map(key => {
      const [was, is] = [before?.[key], after?.[key]];
      const words = [was, is].filter(each => each !== undefined).map(each => JSON.stringify(each));
      return `${key}: ${words.join(' → ')}`;
    })
    .join('; ');
  return clean(text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text);
}
