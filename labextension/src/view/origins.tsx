/** Whose pages may call the service from a browser. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useState } from 'react';

import { Button, Field, Notice, useWork } from './pieces';

const EXAMPLE = 'https://app.example.org';

export interface OriginsProps {
  origins: readonly string[];
  trans: TranslationBundle;
  /** In the place of the former ones; rejects with what is wrong with one of them. */
  onOrigins: (origins: readonly string[]) => Promise<void>;
}

export function Origins({ origins, trans, onOrigins }: OriginsProps): JSX.Element {
  const [given, setGiven] = useState('');
  const { busy, refused, run } = useWork();
  const title = trans.__('Pages of other sites');
  const submit = async (event: React.FormEvent) => {
    event.preventDefault();
    const more = given.split(/[\s,]+/).filter(each => each !== '');
    if (more.length > 0 && (await run(() => onOrigins([...origins, ...more])))) {
      setGiven('');
    }
  };
  return (
    <section aria-label={title}>
      <h3>{title}</h3>
      <p>
        {origins.length === 0
          ? trans.__('Pages of no other site may call it from a browser.')
          : trans.__('Pages of these may call it from a browser, with a token that they send themselves.')}
      </p>
      {origins.length > 0 && (
        <ul aria-label={title}>
          {origins.map(each => (
            <li key={each} data-origin={each}>
              <code>{each}</code>{' '}
              <Button
                text={trans.__('Remove')}
                label={trans.__('Let pages of %1 call it no more', each)}
                disabled={busy}
                onClick={() => void run(() => onOrigins(origins.filter(other => other !== each)))}
              />
            </li>
          ))}
        </ul>
      )}
      <form
        className="jp-ModelService-form"
        aria-label={trans.__('Let pages of another site call it')}
        onSubmit={event => void submit(event)}
      >
        <Field
          label={trans.__('Let pages of this origin call it')}
          value={given}
          width={32}
          placeholder={EXAMPLE}
          help={trans.__('Scheme, host, and the port where it is not the usual one. Several with blanks.')}
          onChange={setGiven}
        />
        <button
          type="submit"
          className="jp-ModelService-button jp-Button jp-mod-styled"
          disabled={busy || given.trim() === ''}
        >
          {trans.__('Allow')}
        </button>
        {refused !== null && <Notice text={refused} kind="bad" />}
      </form>
    </section>
  );
}
