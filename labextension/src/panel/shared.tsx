/** Below the list: what others let one call, and not look into. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { Key, keyOf, Shared, ServiceState } from '../types';
import { roleSentence, roleWord } from '../roles';
import { Button, Copy, PageLink } from '../view/pieces';
import { stateWord, tone } from '../words';

export interface SharedRowsProps {
  shared: readonly Shared[];
  trans: TranslationBundle;
  onCopy: (text: string) => void;
  /** Opens a console on it. */
  onTry: (key: Key) => void;
}

export function SharedRows({ shared, trans, onCopy, onTry }: SharedRowsProps): JSX.Element | null {
  if (shared.length === 0) {
    return null;
  }
  return (
    <section className="jp-ModelService-shared" aria-label={trans.__('Shared with you')}>
      <h3>{trans.__('Shared with you')}</h3>
      <ul>
        {shared.map(each => {
          const key = keyOf(each);
          const state = each.state as ServiceState;
          return (
            <li key={key} className={`jp-ModelService-row jp-mod-${tone(state)}`} data-shared={key}>
              <div className="jp-ModelService-row-line">
                <span className="jp-ModelService-name" title={each.endpoint}>
                  <span className="jp-ModelService-dot" aria-hidden="true" />
                  <span className="jp-ModelService-name-text">{key}</span>
                </span>
                <Copy
                  text={each.endpoint}
                  label={trans.__('Copy the endpoint of %1', key)}
                  trans={trans}
                  onCopy={onCopy}
                />
                <PageLink page={each.page} label={trans.__('Open the page of %1', key)} trans={trans} />
              </div>
              <div className="jp-ModelService-row-said">
                <span className="jp-ModelService-state">{stateWord(state, trans)}</span>
                <span className="jp-ModelService-auto" title={roleSentence(each.role, trans)}>
                  {roleWord(each.role, trans)}
                </span>
                <Button text={trans.__('Try')} label={trans.__('Try %1', key)} onClick={() => onTry(key)} />
              </div>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
