/** Files of the folder in editors beside the form. */
import type { FileEditor } from '@jupyterlab/fileeditor';
import type { Widget } from '@lumino/widgets';

import type { PartOptions } from '../parts';

/**
 * Opens a file, or shows the editor that has it, with a line (counted from 1) selected.
 *
 * @param among the widget in whose place it comes, behind whose tab; null: there is none yet.
 * @param beside the widget that it is to leave in sight.
 */
export async function openAt(
  { documents }: Pick<PartOptions, 'documents'>,
  path: string,
  line: number | null,
  among: string | null,
  beside: string | null
): Promise<Widget | null> {
  const widget = documents?.openOrReveal(
    path,
    'default',
    undefined,
    among !== null
      ? { mode: 'tab-after', ref: among }
      : beside !== null
        ? { mode: 'split-right', ref: beside }
        : {}
  );
  if (widget === undefined) {
    return null;
  }
  await widget.context.ready;
  await widget.revealed;
  const { editor } = widget.content as Widget & Partial<Pick<FileEditor, 'editor'>>;
  if (line !== null && editor !== undefined) {
    const at = Math.min(line, editor.lineCount) - 1;
    const start = { line: at, column: 0 };
    const end = { line: at, column: editor.getLine(at)?.length ?? 0 };
    editor.setSelection({ start, end });
    editor.revealSelection({ start, end });
    editor.focus();
  }
  return widget;
}
