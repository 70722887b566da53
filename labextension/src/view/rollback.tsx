/** The question before a service goes back to a former revision: what that changes. */
import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { Key, Revision, Service } from '../types';
import { differences } from './difference';
import { filesWords } from './revisions';

const SHOWN = 8; // differences; the tab of the revisions has them all

/** `revision`: null is the one that was fully up before the active one, which the gateway knows. */
export async function confirmRollback(
  service: Service | null,
  key: Key,
  revision: number | null,
  trans: TranslationBundle
): Promise<boolean> {
  const answer = await showDialog({
    title:
      revision === null
        ? trans.__('Roll %1 back?', key)
        : trans.__('Roll %1 back to revision %2?', key, revision),
    body: <Question service={service} revision={revision} trans={trans} />,
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Roll Back') })]
  });
  return answer.button.accept;
}

interface QuestionProps {
  service: Service | null;
  revision: number | null;
  trans: TranslationBundle;
}

function Question({ service, revision, trans }: QuestionProps): JSX.Element {
  const of = (number: number | undefined) => service?.revisions.find(each => each.number === number);
  const [active, former] = [of(service?.revision), of(revision ?? undefined)];
  const changes = active === undefined || former === undefined ? null : changesOf(active, former, trans);
  return (
    <div className="jp-ModelService-question">
      <p>
        {revision === null
          ? trans.__(
              'The revision that was fully up before the active one becomes active again, with the files that were kept of it. New replicas come up before the present ones go.'
            )
          : trans.__(
              'It becomes active again, with the files that were kept of it. New replicas come up before the present ones go. The folder stays as it is.'
            )}
      </p>
      {changes !== null && changes.length === 0 && (
        <p>{trans.__('Nothing that is known of it differs from revision %1.', active?.number ?? '')}</p>
      )}
      {changes !== null && changes.length > 0 && (
        <ul aria-label={trans.__('What changes')}>
          {changes.slice(0, SHOWN).map(each => (
            <li key={each}>{each}</li>
          ))}
          {changes.length > SHOWN && <li>{trans.__('and %1 more', changes.length - SHOWN)}</li>}
        </ul>
      )}
    </div>
  );
}

/** "image: a → b"; of the files one sentence, whatever differs of them. */
export function changesOf(active: Revision, former: Revision, trans: TranslationBundle): string[] {
  const found = differences(active, former);
  const files = found.some(each => each.field.startsWith('files.'));
  return [
    ...(files ? [trans.__('files: %1 → %2', filesWords(active, trans), filesWords(former, trans))] : []),
    ...found
      .filter(each => !each.field.startsWith('files.'))
      .map(({ field, before, after }) => trans.__('%1: %2 → %3', field, before ?? '–', after ?? '–'))
  ];
}
