import { EditorState } from '@codemirror/state';
import { EditorView } from '@codemirror/view';
import { Signal } from '@lumino/signaling';

import { Marks } from '../marks';
import { PROBLEM } from './samples';

const TEXT = 'models:\n- name: a\n  model_path: /models\n  service:\n    port: 70000\n';

function editor(path: string) {
  const view = new EditorView({ state: EditorState.create({ doc: TEXT }), parent: document.body });
  return { context: { path, ready: Promise.resolve() }, content: { editor: { editor: view } } };
}

const said = (widget: ReturnType<typeof editor>) =>
  [
    ...widget.content.editor.editor.dom.querySelectorAll('.jp-ModelService-mark, .jp-ModelService-marked')
  ].map(each => each.textContent);

it('marks problems at their lines, in editors that are opened later, too, until they are mended', async () => {
  const open = [editor('RTC:words/model-definition.yaml'), editor('other/model-definition.yaml')];
  const widgetAdded = new Signal<object, any>({});
  const tracker = { widgetAdded, forEach: (look: (each: any) => void) => open.forEach(look) };
  const marks = new Marks(tracker as any, path => path.replace(/^RTC:/, ''));
  marks.show('words', [PROBLEM, { ...PROBLEM, line: null }, { ...PROBLEM, line: 99 }]);
  const marked = ['    port: 70000', `${PROBLEM.where} ${PROBLEM.message}`];
  expect(open.map(said)).toEqual([marked, []]);

  const view = open[0].content.editor.editor;
  view.dispatch({ changes: { from: 0, insert: '# a comment\n' } });
  expect(said(open[0])).toEqual(marked);

  const later = editor('words/model-definition.yaml');
  open.push(later);
  widgetAdded.emit(later);
  await later.context.ready;
  expect(said(later)).toEqual(marked);

  marks.show('words', []);
  expect(open.map(said)).toEqual([[], [], []]);
  marks.show('words', [PROBLEM]);
  marks.dispose();
  expect(open.map(said)).toEqual([[], [], []]);
});
