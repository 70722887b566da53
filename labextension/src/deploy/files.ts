/** Files of the folder in editors beside the form. */
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import type { FileEditor, IEditorTracker } from '@jupyterlab/fileeditor';
import { DockPanel, TabBar, Widget } from '@lumino/widgets';

import type { PartOptions } from '../parts';

/**
 * Opens a file, or shows the editor that has it, with a line (counted from 1) selected.
 *
 * @param form the widget that it is to leave in sight.
 */
export async function openAt(
  { documents, editors }: Pick<PartOptions, 'documents' | 'editors'>,
  path: string,
  line: number | null,
  form: Widget | null
): Promise<void> {
  const widget = documents?.openOrReveal(path, 'default', undefined, placeBeside(form, editors));
  if (widget === undefined) {
    return;
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
}

/** As a tab of another part of the page, if possible of one that has editors; the form's own is divided only where
 * there is no other, as each further part is narrower. */
function placeBeside(form: Widget | null, editors: IEditorTracker | null): DocumentRegistry.IOpenOptions {
  const dock = form?.parent;
  if (form === null || !(dock instanceof DockPanel)) {
    return {};
  }
  const others = [...dock.tabBars()].filter(bar => bar.titles.length > 0 && !bar.titles.includes(form.title));
  const edits = (bar: TabBar<Widget>) => bar.titles.some(({ owner }) => editors?.has(owner));
  const current = others.find(bar => bar.titles.some(({ owner }) => owner === editors?.currentWidget));
  const widest = (bars: typeof others) =>
    [...bars].sort((one, other) => other.node.offsetWidth - one.node.offsetWidth)[0];
  const part = current ?? widest(others.filter(edits)) ?? widest(others);
  return part === undefined
    ? { mode: 'split-right', ref: form.id }
    : { mode: 'tab-after', ref: part.titles[part.titles.length - 1].owner.id };
}
