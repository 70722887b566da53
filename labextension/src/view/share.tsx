/** How others get to call the service: its address, whether it wants a token, and a line for the shell. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { may, roleSentence } from '../roles';
import type { Service } from '../types';
import { Access, AccessProps } from './access';
import { Button, Copy } from './pieces';
import { Endpoint } from './header';
import { healthPath } from './health';

type Word = Service['visibility'];

export interface ShareProps {
  service: Service;
  access: AccessProps;
  /** Whether the administrator lets services be public: of whoever looks, where it is not known of the owner. */
  mayBePublic: boolean;
  trans: TranslationBundle;
  /** Asks first. */
  onVisibility: (word: Word) => void;
  onTokens: () => void;
  onCopy: (text: string) => void;
}

export function Share(props: ShareProps): JSX.Element {
  const { service, trans, onCopy } = props;
  const line = curl(service);
  return (
    <>
      <section aria-label={trans.__('Endpoint')}>
        <h3>{trans.__('Endpoint')}</h3>
        <Endpoint service={service} trans={trans} onCopy={onCopy} />
      </section>
      {may(service, 'owner') ? (
        <Visibility {...props} />
      ) : (
        <p>{trans.__('%1 shares it with you: you %2.', service.owner, roleSentence(service.role, trans))}</p>
      )}
      <section aria-label={trans.__('From a shell')}>
        <h3>{trans.__('From a shell')}</h3>
        <pre className="jp-ModelService-code">{line}</pre>
        <Copy text={line} label={trans.__('Copy the line')} trans={trans} onCopy={onCopy} />
        {!service.public && (
          <p className="jp-ModelService-help">
            {trans.__('TOKEN stands for a token of the service, which is never shown here.')}
          </p>
        )}
      </section>
    </>
  );
}

/** At the address that the model answers for sure, which is its health check's. */
export function curl(service: Service): string {
  const path = (healthPath(service) ?? '').replace(/^\//, '');
  const url = `'${(service.endpoint + path).replace(/'/g, "'\\''")}'`;
  return service.public ? `curl ${url}` : `curl -H "Authorization: Bearer TOKEN" ${url}`;
}

function Visibility(props: ShareProps): JSX.Element {
  const { service, trans } = props;
  const { access } = props.access;
  const shared = (access?.shares.length ?? 0) > 0;
  const forbidden = service.public ? null : whoForbids(props);
  return (
    <>
      <section aria-label={trans.__('Who can call it')}>
        <h3>{trans.__('Who can call it')}</h3>
        <p>
          {service.public
            ? trans.__(
                'Public: everybody who can reach the address can call it, without a token, and use what it runs on.'
              )
            : service.visibility === 'shared'
              ? trans.__(
                  'Shared: whom it is shared with calls it with a token of her own, all others need one of its tokens.'
                )
              : trans.__('Private: whoever calls it needs one of its tokens.')}
        </p>
        <div className="jp-ModelService-bar">
          {!service.public && <Button text={trans.__('Tokens')} look="accept" onClick={props.onTokens} />}
          {service.visibility !== 'private' && (
            <Button text={trans.__('Make Private…')} onClick={() => props.onVisibility('private')} />
          )}
          {service.public && shared && (
            <Button text={trans.__('Keep It Shared Only…')} onClick={() => props.onVisibility('shared')} />
          )}
          {!service.public && (
            <Button
              text={trans.__('Make Public…')}
              look="warn"
              disabled={forbidden !== null}
              title={forbidden ?? undefined}
              onClick={() => props.onVisibility('public')}
            />
          )}
        </div>
        {forbidden !== null && <p className="jp-ModelService-help">{forbidden}</p>}
      </section>
      <Access {...props.access} />
    </>
  );
}

/** In one sentence, who does not let its owner make it public; null where she may. */
function whoForbids({ access: { access }, mayBePublic, trans }: ShareProps): string | null {
  if (access?.public_allowed ?? mayBePublic) {
    return null;
  }
  return access?.set_by
    ? trans.__('It may not be made public: so says %1.', access.set_by)
    : trans.__('The administrator of this installation does not allow public services.');
}
