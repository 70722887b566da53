/** Forms whose problems stand at their fields. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useState } from 'react';

import { Button } from './pieces';
import { Problems, problemsIn } from './policy';

/** A form whose problems stand at its fields: those that are seen here before anything is sent, else the server's. */
export function useForm(fields: readonly string[], trans: TranslationBundle) {
  const [problems, setProblems] = useState<Problems>({});
  const [busy, setBusy] = useState(false);
  const submit = async <T,>(
    event: React.FormEvent,
    { body, problems: found }: { body: T; problems: Problems },
    send: (body: T) => Promise<void>
  ): Promise<void> => {
    event.preventDefault();
    setProblems(found);
    if (Object.keys(found).length > 0) {
      return;
    }
    setBusy(true);
    try {
      await send(body);
    } catch (error) {
      setProblems(
        error instanceof Error ? problemsIn(error.message, fields) : { '': trans.__('That did not work.') }
      );
    } finally {
      setBusy(false);
    }
  };
  return { problems, busy, submit, clear: () => setProblems({}) };
}

export function FormEnd(props: {
  text: string;
  busy: boolean;
  trans: TranslationBundle;
  onCancel: () => void;
}): JSX.Element {
  return (
    <div className="jp-ModelService-bar">
      <button
        type="submit"
        className="jp-ModelService-button jp-Button jp-mod-styled jp-mod-accept"
        disabled={props.busy}
      >
        {props.text}
      </button>
      <Button text={props.trans.__('Cancel')} onClick={props.onCancel} />
    </div>
  );
}
