/** How often each token and person called the service. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { moment } from '../format';
import type { UseInfo, UseList } from '../types';
import { Button, Notice, Table } from './pieces';

export interface UsesProps {
  uses: UseList;
  now: number;
  trans: TranslationBundle;
  onLook: () => void;
}

/** Of one caller, over all days. */
export interface Sum {
  key: string;
  use: UseInfo;
  today: number;
  calls: number;
  refused: number;
  last: number | null;
}

/** Who called most comes first. */
export function sums({ uses, today }: UseList): Sum[] {
  const found = new Map<string, Sum>();
  for (const use of uses) {
    const key = `${use.kind}:${use.name}`;
    const sum = found.get(key) ?? { key, use, today: 0, calls: 0, refused: 0, last: null };
    found.set(key, {
      ...sum,
      today: sum.today + (use.day === today ? use.calls : 0),
      calls: sum.calls + use.calls,
      refused: sum.refused + use.refused,
      last: Math.max(sum.last ?? 0, use.last_at ?? 0) || null
    });
  }
  return [...found.values()].sort(
    (one, other) => other.calls - one.calls || one.key.localeCompare(other.key)
  );
}

export function Uses({ uses, now, trans, onLook }: UsesProps): JSX.Element {
  const rows = sums(uses);
  return (
    <section aria-label={trans.__('Who called it')}>
      <h3>{trans.__('Who called it')}</h3>
      {rows.length === 0 ? (
        <Notice text={trans.__('Nobody called it in the last 30 days.')} />
      ) : (
        <Table
          caption={trans.__('Who called it')}
          columns={[
            trans.__('Who'),
            trans.__('Calls today'),
            trans.__('In 30 days'),
            trans.__('Refused'),
            trans.__('Last call')
          ]}
        >
          {rows.map(each => (
            <tr key={each.key} data-caller={each.key}>
              <th scope="row">{callerWords(each.use, trans)}</th>
              <td>{each.today}</td>
              <td>{each.calls}</td>
              <td>{each.refused}</td>
              <td className="jp-mod-when">{each.last === null ? '–' : moment(each.last, now)}</td>
            </tr>
          ))}
        </Table>
      )}
      {!uses.complete && <Notice text={trans.__('There is more, of days before these.')} />}
      <Button text={trans.__('Look Again')} label={trans.__('Look again who called it')} onClick={onLook} />
      <p className="jp-ModelService-help">
        {trans.__(
          'Counted are calls by day, kept for 400 days, and nothing of what was asked. Only you and administrators see it.'
        )}
      </p>
    </section>
  );
}

export function callerWords(use: UseInfo, trans: TranslationBundle): string {
  switch (use.kind) {
    case 'token':
      return use.label === ''
        ? trans.__('token %1', use.name)
        : trans.__('token %1 (%2)', use.label, use.name);
    case 'service':
      return trans.__('service %1', use.name);
    case 'anyone':
      return trans.__('anyone, while it was public');
    case 'others':
      return trans.__('others, beyond 10,000 on a day');
    default:
      return use.name;
  }
}
