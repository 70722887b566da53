/** Revisions: what they are made of, what differs, and the way back. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useState } from 'react';

import { bytes, moment } from '../format';
import { may } from '../roles';
import type { Revision, Service } from '../types';
import { differences } from './difference';
import { Button, Copy, Notice, Table, useWork } from './pieces';
import { yamlOf } from './yaml';

export interface RevisionsProps {
  service: Service;
  trans: TranslationBundle;
  /** Takes up the folder as it is now. */
  onTakeUp: () => Promise<void>;
  /** Opens the form for the next revision. */
  onUpdate: () => void;
  /** Asks first. */
  onRollback: (revision: number) => Promise<void>;
}

export function Revisions(props: RevisionsProps): JSX.Element {
  const { service, trans } = props;
  const [compared, setCompared] = useState<number | null>(null);
  const { busy, refused, run } = useWork();
  const newestFirst = [...service.revisions].sort((a, b) => b.number - a.number);
  const shown = newestFirst.find(each => each.number === compared);
  const fixed = service.state === 'deleting' || busy;
  return (
    <>
      {may(service, 'owner') && <Changed {...props} busy={fixed} onTakeUp={() => void run(props.onTakeUp)} />}
      {refused !== null && <Notice text={refused} kind="bad" />}
      <Table
        caption={trans.__('Revisions, the newest first')}
        columns={[
          trans.__('Revision'),
          trans.__('Made'),
          trans.__('Model'),
          trans.__('Folder'),
          trans.__('Files'),
          ''
        ]}
      >
        {newestFirst.map(each => (
          <tr key={each.number} data-revision={each.number}>
            <th scope="row">
              {each.number} <Part service={service} number={each.number} trans={trans} />
            </th>
            <td className="jp-mod-when">{moment(each.created_at)}</td>
            <td>{each.model_name}</td>
            <td className="jp-ModelService-path" title={each.folder}>
              {each.folder}
            </td>
            <td>{filesWords(each, trans)}</td>
            <td className="jp-ModelService-rowactions">
              {each.number !== service.revision && (
                <>
                  <Button
                    text={compared === each.number ? trans.__('Hide') : trans.__('What differs')}
                    label={
                      compared === each.number
                        ? trans.__('Hide what differs from revision %1', each.number)
                        : trans.__('What differs from revision %1', each.number)
                    }
                    onClick={() => setCompared(compared === each.number ? null : each.number)}
                  />
                  {may(service, 'operator') && (
                    <Button
                      text={trans.__('Roll Back…')}
                      label={trans.__('Roll back to revision %1', each.number)}
                      disabled={fixed}
                      onClick={() => void run(() => props.onRollback(each.number))}
                    />
                  )}
                </>
              )}
            </td>
          </tr>
        ))}
      </Table>
      {shown !== undefined && <Compared service={service} shown={shown} trans={trans} />}
    </>
  );
}

function Changed({
  service,
  trans,
  busy,
  onTakeUp,
  onUpdate
}: Pick<RevisionsProps, 'service' | 'trans' | 'onUpdate'> & {
  busy: boolean;
  onTakeUp: () => void;
}): JSX.Element {
  const changed = service.changed ?? [];
  const text = service.folder_gone
    ? trans.__(
        'The folder is not there any more; replicas run from what revision %1 kept of it.',
        service.revision
      )
    : changed.length > 0
      ? trans.__('Changed in the folder since revision %1: %2', service.revision, changed.join(', '))
      : service.folder_changed
        ? trans.__('The folder has changed since revision %1.', service.revision)
        : null;
  return text === null ? (
    <div className="jp-ModelService-bar">
      <Button text={trans.__('Update…')} disabled={busy} onClick={onUpdate} />
    </div>
  ) : (
    <Notice text={text}>
      <div className="jp-ModelService-bar">
        {!service.folder_gone && (
          <Button
            text={trans.__('Take Up the Changes')}
            title={trans.__('Makes the next revision of the folder as it is now, and rolls over to it')}
            look="accept"
            disabled={busy}
            onClick={onTakeUp}
          />
        )}
        <Button text={trans.__('Update…')} disabled={busy} onClick={onUpdate} />
      </div>
    </Notice>
  );
}

/** During an update the stable revision still serves while the active one comes up; otherwise they are the same. */
function Part({
  service,
  number,
  trans
}: {
  service: Service;
  number: number;
  trans: TranslationBundle;
}): JSX.Element {
  const serves = number === service.stable_revision && service.replicas.ready > 0;
  return (
    <>
      {number === service.revision && <span className="jp-ModelService-badge">{trans.__('active')}</span>}{' '}
      {serves && <span className="jp-ModelService-badge">{trans.__('serving')}</span>}
    </>
  );
}

export function filesWords({ files }: Revision, trans: TranslationBundle): string {
  if (files.source === 'volume') {
    return trans.__('volume %1', files.path ?? '');
  }
  if (files.kind !== 'copy') {
    return trans.__('read where they lie');
  }
  const kept = trans._n('%1 file kept, %2', '%1 files kept, %2', files.files, bytes(files.bytes));
  return files.linked > 0 ? trans.__('%1; %2 linked', kept, files.linked) : kept;
}

function Compared({
  service,
  shown,
  trans
}: {
  service: Service;
  shown: Revision;
  trans: TranslationBundle;
}): JSX.Element | null {
  const active = service.revisions.find(each => each.number === service.revision);
  if (active === undefined) {
    return null;
  }
  const found = differences(shown, active);
  const title = trans.__('From revision %1 to revision %2', shown.number, active.number);
  return (
    <section aria-label={title}>
      <h3>{title}</h3>
      {found.length === 0 ? (
        <Notice text={trans.__('Nothing that is known of them differs.')} />
      ) : (
        <Table
          caption={title}
          columns={[
            trans.__('What'),
            trans.__('Revision %1', shown.number),
            trans.__('Revision %1', active.number)
          ]}
        >
          {found.map(({ field, before, after }) => (
            <tr key={field}>
              <th scope="row">
                <code>{field}</code>
              </th>
              <td className="jp-mod-before">{before ?? '–'}</td>
              <td className="jp-mod-after">{after ?? '–'}</td>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}

export interface DefinitionProps {
  service: Service;
  trans: TranslationBundle;
  onCopy: (text: string) => void;
}

/** As the active revision has it: it is changed in the folder, not here. */
export function Definition({ service, trans, onCopy }: DefinitionProps): JSX.Element {
  const active = service.revisions.find(each => each.number === service.revision);
  if (active === undefined) {
    return <Notice text={trans.__('The active revision is not known.')} />;
  }
  const text = yamlOf(active.definition);
  return (
    <>
      <div className="jp-ModelService-bar">
        <span className="jp-ModelService-help">
          {trans.__('As revision %1 has it, from %2', active.number, active.folder)}
        </span>
        <span className="jp-ModelService-rest" />
        <Copy text={text} label={trans.__('Copy the definition')} trans={trans} onCopy={onCopy} />
      </div>
      <pre className="jp-ModelService-code" tabIndex={0} aria-label={trans.__('Definition')}>
        {text}
      </pre>
    </>
  );
}
