/** What the steps of the form are made of. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { Problem } from '../types';
import { Button, Notice } from '../view/pieces';

export interface ProblemsProps {
  problems: readonly Problem[];
  trans: TranslationBundle;
  /** Null where there is no editor to open a file in. */
  onOpen: ((file: string, line: number | null) => void) | null;
  /** Reads the folder again. */
  onCheck: () => void;
}

/** What is wrong with the definition, each with the way to its line. */
export function Problems({ problems, trans, onOpen, onCheck }: ProblemsProps): JSX.Element | null {
  if (problems.length === 0) {
    return null;
  }
  const errors = problems.filter(each => each.severity === 'error').length;
  return (
    <section className="jp-ModelService-problems" aria-label={trans.__('Problems')}>
      <Notice
        kind={errors > 0 ? 'bad' : 'quiet'}
        text={
          errors > 0
            ? trans._n(
                '%1 thing has to be mended before the folder can be served:',
                '%1 things have to be mended before the folder can be served:',
                errors
              )
            : trans.__('The folder can be served, but look at this:')
        }
      >
        <Button text={trans.__('Check Again')} onClick={onCheck} />
      </Notice>
      <ul>
        {problems.map((each, i) => (
          <li key={i} data-severity={each.severity}>
            <strong>{each.severity === 'error' ? trans.__('Error') : trans.__('Warning')}</strong>{' '}
            {each.where !== '' && <code>{each.where}</code>} {each.message}{' '}
            {each.file !== null && (
              <Place file={base(each.file)} line={each.line} trans={trans} onOpen={onOpen} />
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

interface PlaceProps {
  file: string;
  line: number | null;
  trans: TranslationBundle;
  onOpen: ProblemsProps['onOpen'];
}

function Place({ file, line, trans, onOpen }: PlaceProps): JSX.Element {
  const place = line === null ? file : trans.__('%1, line %2', file, line);
  return onOpen === null ? (
    <code>{place}</code>
  ) : (
    <button
      type="button"
      className="jp-ModelService-link"
      aria-label={trans.__('Open %1', place)}
      onClick={() => onOpen(file, line)}
    >
      {place}
    </button>
  );
}

function base(file: string): string {
  return file.split('/').pop() ?? file;
}
