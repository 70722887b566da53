/** Another token in the place of one, which goes on for a while. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useRef, useState } from 'react';

import { duration } from '../format';
import type { Token } from '../types';
import { Button, Notice, useWork } from './pieces';

const HOUR = 3600;
/** Seconds for which both are good. */
const OVERLAPS = [0, HOUR, 24 * HOUR, 7 * 24 * HOUR, 30 * 24 * HOUR];

export interface RotateProps {
  token: Token;
  trans: TranslationBundle;
  /** The new one is shown then. */
  onRotate: (token: Token, overlap: number) => Promise<void>;
  onDone: () => void;
}

export function Rotate({ token, trans, onRotate, onDone }: RotateProps): JSX.Element {
  const [overlap, setOverlap] = useState(24 * HOUR);
  const { busy, refused, run } = useWork();
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => form.current?.querySelector('select')?.focus(), []);
  const submit = async (event: React.FormEvent) => {
    event.preventDefault();
    if (await run(() => onRotate(token, overlap))) {
      onDone();
    }
  };
  const title = trans.__('Another token in the place of %1', token.name || token.id);
  return (
    <form
      ref={form}
      className="jp-ModelService-form"
      aria-label={title}
      onSubmit={event => void submit(event)}
    >
      <strong>{title}</strong>
      <label className="jp-ModelService-field">
        <span>{trans.__('The former one ends')}</span>
        <select
          className="jp-mod-styled"
          value={overlap}
          onChange={event => setOverlap(Number(event.target.value))}
        >
          {OVERLAPS.map(each => (
            <option key={each} value={each}>
              {each === 0 ? trans.__('at once') : trans.__('in %1', duration(each, trans))}
            </option>
          ))}
        </select>
        <span className="jp-ModelService-help">
          {trans.__(
            'The new one has the same label, limits and paths. Together they have the limits of one.'
          )}
        </span>
      </label>
      <button
        type="submit"
        className="jp-ModelService-button jp-Button jp-mod-styled jp-mod-accept"
        disabled={busy}
      >
        {trans.__('Rotate')}
      </button>
      <Button text={trans.__('Cancel')} onClick={onDone} />
      {refused !== null && <Notice text={refused} kind="bad" />}
    </form>
  );
}
