/** A cell in the notebook that was used last. */
import type { INotebookTracker } from '@jupyterlab/notebook';

const MAGIC = '%%model_service';
const LOADS = '%load_ext jupyter_model_service';

/** Below its current cell; false: no notebook is open. A magic comes with the line that loads it, where that is not there. */
export function insertCell(notebooks: INotebookTracker | null, source: string): boolean {
  const notebook = notebooks?.currentWidget?.content;
  const shared = notebook?.model?.sharedModel;
  if (notebook === undefined || shared === undefined) {
    return false;
  }
  const loaded = shared.cells.some(cell => cell.getSource().includes(LOADS));
  const sources = source.startsWith(MAGIC) && !loaded ? [LOADS, source] : [source];
  const at = notebook.activeCellIndex + 1;
  shared.insertCells(
    at,
    sources.map(each => ({ cell_type: 'code', source: each }))
  );
  notebook.activeCellIndex = at + sources.length - 1;
  return true;
}
