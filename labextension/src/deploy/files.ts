/** Files of the folder in editors beside the form. */
import type { FileEditor } from '@jupyterlab/fileeditor';
import type { Widget } from '@lumino/widgets';

import type { PartOptions } from '../parts';

/** Opens a file, with the cursor on a line (counted from 1), which is selected. */
export async function openAt(
  { documents }: Pick<PartOptions, 'documents'>,
  path: string,
  line: number | null,
  beside: string | null
): Promise<void> {
  const widget = documents?.openOrReveal(
    path,
    'default',
    undefined,
    beside === null ? {} : { mode: 'split-right', ref: beside }
  );
  if (widget === undefined || line === null) {
    return;
  }
  await widget.context.ready;
  await widget.revealed;
  const { editor } = widget.content as Widget & Partial<Pick<FileEditor, 'editor'>>;
  if (editor === undefined) {
    return; // shown by something else than the editor of texts
  }
  const at = Math.min(line, editor.lineCount) - 1;
  const end = { line: at, column: editor.getLine(at)?.length ?? 0 };
  editor.setCursorPosition({ line: at, column: 0 });
  editor.setSelection({ start: { line: at, column: 0 }, end });
  editor.revealSelection({ start: { line: at, column: 0 }, end });
  editor.focus();
}
