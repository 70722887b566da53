/** One service in the list. */
import type { TranslationBundle } from '@jupyterlab/translation';
import { addIcon, ellipsesIcon } from '@jupyterlab/ui-components';
import React from 'react';

import { Copy, Key, keyOf, Service } from '../api';
import { figure } from '../format';
import { may, roleSentence, roleWord } from '../roles';
import { readyFigures, readySentence, remark, stateWord, tone } from '../words';
import { minusIcon } from './icons';
import { Spark } from './spark';

export interface RowProps {
  service: Service;
  /** How many replicas it is to have, with clicks of just now. */
  wanted: number;
  most: number;
  pending: string | null;
  copy: Copy | null;
  /** Null: not shown. */
  calls: readonly number[] | null;
  showOwner: boolean;
  /** Whether Tab reaches it: one row of the list at a time. */
  reachable: boolean;
  trans: TranslationBundle;
  onOpen: (key: Key) => void;
  onScale: (key: Key, by: number) => void;
}

export const Row = React.memo(function Row(props: RowProps): JSX.Element {
  const { service, wanted, trans } = props;
  const key = keyOf(service);
  const name = props.showOwner ? key : service.name;
  const tab = props.reachable ? 0 : -1;
  const ready = readySentence(service, wanted, trans);
  const said = remark(service, trans, { pending: props.pending, copy: props.copy });
  const autoscaling = service.autoscaling;
  const busy = service.state === 'deleting' || !may(service, 'operator');
  return (
    <li
      className={`jp-ModelService-row jp-mod-${tone(service.state)}`}
      data-key={key}
      data-state={service.state}
    >
      <div className="jp-ModelService-row-line">
        <button
          className="jp-ModelService-name"
          tabIndex={tab}
          title={trans.__('Open %1', key)}
          onClick={() => props.onOpen(key)}
        >
          <span className="jp-ModelService-dot" aria-hidden="true" />
          <span className="jp-ModelService-name-text">{name}</span>
        </button>
        <button
          className="jp-ModelService-tool"
          tabIndex={tab}
          disabled={busy || wanted <= 0}
          aria-label={trans.__('One replica fewer of %1', name)}
          title={trans.__('One replica fewer')}
          onClick={() => props.onScale(key, -1)}
        >
          <minusIcon.react tag="span" />
        </button>
        <span className="jp-ModelService-count" title={ready}>
          <span aria-hidden="true">{readyFigures(service, wanted)}</span>
          <span className="jp-ModelService-spoken">{ready}</span>
        </span>
        <button
          className="jp-ModelService-tool"
          tabIndex={tab}
          disabled={busy || wanted >= props.most}
          aria-label={trans.__('One replica more of %1', name)}
          title={trans.__('One replica more')}
          onClick={() => props.onScale(key, 1)}
        >
          <addIcon.react tag="span" />
        </button>
        <button
          className="jp-ModelService-tool"
          tabIndex={tab}
          aria-label={trans.__('More actions for %1', name)}
          aria-haspopup="menu"
          title={trans.__('More')}
          onClick={openMenu}
        >
          <ellipsesIcon.react tag="span" />
        </button>
      </div>
      <div className="jp-ModelService-row-said">
        <span className="jp-ModelService-state">{stateWord(service.state, trans)}</span>
        {autoscaling !== null && (
          <span
            className="jp-ModelService-auto"
            title={autoscaling.held ? trans.__('Scaled by hand: autoscaling rests') : trans.__('Autoscaling')}
          >
            {autoscaling.held
              ? trans.__('held')
              : trans.__(
                  'auto %1–%2',
                  autoscaling.bounds?.min ?? autoscaling.min,
                  autoscaling.bounds?.max ?? autoscaling.max
                )}
          </span>
        )}
        {!may(service, 'owner') && (
          <span className="jp-ModelService-auto" title={roleSentence(service.role, trans)}>
            {roleWord(service.role, trans)}
          </span>
        )}
        {service.visibility === 'shared' && may(service, 'owner') && (
          <span className="jp-ModelService-auto">{trans.__('shared')}</span>
        )}
        {service.public && <span className="jp-ModelService-public">{trans.__('public')}</span>}
        {said !== null && (
          <span className="jp-ModelService-remark" title={said}>
            {said}
          </span>
        )}
        {props.calls !== null && props.calls.length > 1 && (
          <Spark
            values={props.calls}
            label={trans.__('%1 calls per second', figure(props.calls[props.calls.length - 1] ?? 0))}
          />
        )}
      </div>
    </li>
  );
});

/** The application opens its context menu for the row, where the button is; a key press has no place of its own. */
function openMenu(event: React.MouseEvent<HTMLButtonElement>): void {
  const { left, bottom } = event.currentTarget.getBoundingClientRect();
  event.currentTarget.dispatchEvent(
    new MouseEvent('contextmenu', { bubbles: true, cancelable: true, clientX: left, clientY: bottom })
  );
}
