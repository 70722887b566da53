/** Above the tabs: what the service is now, and what can be done to it. */
import type { TranslationBundle } from '@jupyterlab/translation';
import { addIcon } from '@jupyterlab/ui-components';
import React from 'react';

import { Copy as CopyInfo, Key, keyOf, Service } from '../types';
import { minusIcon } from '../panel/icons';
import { may, roleSentence, roleWord } from '../roles';
import { readyWords, remark, stateWord, tone } from '../words';
import { Button, Copy, PageLink } from './pieces';

/** What is done to a service from here; each tells by itself what goes wrong. */
export interface Actions {
  onScale: (by: number) => void;
  onStart: () => void;
  onStop: () => void;
  onRestart: () => void;
  onUpdate: () => void;
  onDelete: () => void;
  onCopy: (text: string) => void;
}

export interface HeaderProps extends Actions {
  service: Service;
  /** With what was asked for just now. */
  wanted: number;
  most: number;
  pending: string | null;
  copy: CopyInfo | null;
  trans: TranslationBundle;
}

export function Header(props: HeaderProps): JSX.Element {
  const { service, trans } = props;
  const said = remark(service, trans, { pending: props.pending, copy: props.copy });
  const off = service.state === 'stopped' || service.state === 'failed';
  const leaving = service.state === 'deleting';
  return (
    <div className={`jp-ModelService-header jp-mod-${tone(service.state)}`}>
      <div className="jp-ModelService-header-line">
        <h2>{service.name}</h2>
        <span className="jp-ModelService-chip" data-state={service.state}>
          <span className="jp-ModelService-dot" aria-hidden="true" />
          {stateWord(service.state, trans)}
        </span>
        {service.public && (
          <span className="jp-ModelService-badge" title={trans.__('Calls need no token')}>
            {trans.__('public')}
          </span>
        )}
        {!may(service, 'owner') && (
          <span className="jp-ModelService-badge" title={roleSentence(service.role, trans)}>
            {trans.__('shared by %1: you are %2', service.owner, roleWord(service.role, trans))}
          </span>
        )}
        <Scaler {...props} />
        <span className="jp-ModelService-actions" role="group" aria-label={trans.__('Actions')}>
          {!may(service, 'operator') ? null : off ? (
            <Button text={trans.__('Start')} look="accept" onClick={props.onStart} />
          ) : (
            <>
              <Button text={trans.__('Restart')} disabled={leaving} onClick={props.onRestart} />
              <Button text={trans.__('Stop')} disabled={leaving} onClick={props.onStop} />
            </>
          )}
          {may(service, 'owner') && (
            <>
              <Button text={trans.__('Update…')} disabled={leaving} onClick={props.onUpdate} />
              <Button text={trans.__('Delete…')} look="warn" disabled={leaving} onClick={props.onDelete} />
            </>
          )}
        </span>
      </div>
      <p className="jp-ModelService-remark" role="status" aria-live="polite">
        {said ?? ''}
      </p>
      <Endpoint service={service} trans={trans} onCopy={props.onCopy} />
    </div>
  );
}

function Scaler({ service, wanted, most, trans, onScale }: HeaderProps): JSX.Element {
  const key: Key = keyOf(service);
  const leaving = service.state === 'deleting';
  const { autoscaling } = service;
  const mine = may(service, 'operator');
  return (
    <span className="jp-ModelService-scaler" role="group" aria-label={trans.__('Replicas')}>
      {mine && (
        <button
          type="button"
          className="jp-ModelService-tool"
          disabled={leaving || wanted <= 0}
          aria-label={trans.__('One replica fewer of %1', key)}
          title={trans.__('One replica fewer')}
          onClick={() => onScale(-1)}
        >
          <minusIcon.react tag="span" />
        </button>
      )}
      <span className="jp-ModelService-ready">
        {readyWords(service, wanted, trans)}
        {autoscaling !== null && (
          <span className="jp-ModelService-auto">
            {autoscaling.held
              ? trans.__('held')
              : trans.__(
                  'auto %1–%2',
                  autoscaling.bounds?.min ?? autoscaling.min,
                  autoscaling.bounds?.max ?? autoscaling.max
                )}
          </span>
        )}
      </span>
      {mine && (
        <button
          type="button"
          className="jp-ModelService-tool"
          disabled={leaving || wanted >= most}
          aria-label={trans.__('One replica more of %1', key)}
          title={trans.__('One replica more')}
          onClick={() => onScale(1)}
        >
          <addIcon.react tag="span" />
        </button>
      )}
    </span>
  );
}

export interface EndpointProps {
  service: Service;
  trans: TranslationBundle;
  onCopy: (text: string) => void;
}

export function Endpoint({ service, trans, onCopy }: EndpointProps): JSX.Element {
  return (
    <div className="jp-ModelService-endpoint">
      <span className="jp-ModelService-help">{trans.__('Endpoint')}</span>
      <code>{service.endpoint}</code>
      <Copy text={service.endpoint} label={trans.__('Copy the endpoint')} trans={trans} onCopy={onCopy} />
      <PageLink page={service.page} label={trans.__('Open the page of %1', keyOf(service))} trans={trans} />
    </div>
  );
}
