/** Which folder it is about. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useState } from 'react';

import { Button, Field, Notice } from '../view/pieces';

export interface ChooserProps {
  path: string;
  refused: string | null;
  trans: TranslationBundle;
  onChoose: (path: string) => void;
  /** Asks with the file browser's own dialog; null where there is none. */
  onBrowse: (() => void) | null;
}

export function Chooser({ path, refused, trans, onChoose, onBrowse }: ChooserProps): JSX.Element {
  const [typed, setTyped] = useState(path);
  return (
    <form
      className="jp-ModelService-deploy-form"
      aria-label={trans.__('Choose a model folder')}
      onSubmit={event => {
        event.preventDefault();
        onChoose(typed);
      }}
    >
      <p>
        {trans.__('Which folder holds the model? Its server is started in it, with the files that it holds.')}
      </p>
      <div className="jp-ModelService-bar">
        <Field
          label={trans.__('Model folder')}
          value={typed}
          width={40}
          help={trans.__(
            'Its path in the file browser, such as models/greeting; / is everything that it shows.'
          )}
          onChange={setTyped}
        />
      </div>
      {refused !== null && <Notice kind="bad" text={refused} />}
      <div className="jp-ModelService-bar">
        <button
          type="submit"
          className="jp-ModelService-button jp-Button jp-mod-styled jp-mod-accept"
          disabled={typed.trim() === ''}
        >
          {trans.__('Next')}
        </button>
        {onBrowse !== null && <Button text={trans.__('Browse…')} onClick={onBrowse} />}
      </div>
    </form>
  );
}
