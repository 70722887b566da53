/** Problems at their lines in the editors that have the file open. */
import { StateEffect, StateField } from '@codemirror/state';
import { Decoration, DecorationSet, EditorView, WidgetType } from '@codemirror/view';
import type { IEditorTracker } from '@jupyterlab/fileeditor';
import type { IDisposable } from '@lumino/disposable';

import type { Problem } from '../types';

/** A problem whose line is known, counted from 1. */
type Placed = Problem & { line: number };

const setProblems = StateEffect.define<readonly Placed[]>();

/** They stay with their lines while one types, until they are set again. */
const shown = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update: (marks, transaction) => {
    const set = transaction.effects.find(each => each.is(setProblems));
    if (set === undefined) {
      return marks.map(transaction.changes);
    }
    const { doc } = transaction.state;
    const ranges = (set.value as readonly Placed[])
      .filter(each => each.line >= 1 && each.line <= doc.lines)
      .flatMap(each => {
        const line = doc.line(each.line);
        const attributes = { class: 'jp-ModelService-marked', 'data-severity': each.severity };
        return [
          Decoration.line({ attributes }).range(line.from),
          Decoration.widget({ widget: new Message(each), side: 1, block: true }).range(line.to)
        ];
      });
    return Decoration.set(ranges, true);
  },
  provide: field => EditorView.decorations.from(field)
});

class Message extends WidgetType {
  constructor(private readonly _problem: Placed) {
    super();
  }

  eq(other: Message): boolean {
    const { message, severity } = this._problem;
    return other._problem.message === message && other._problem.severity === severity;
  }

  toDOM(): HTMLElement {
    const node = document.createElement('div');
    node.className = 'jp-ModelService-mark';
    node.dataset.severity = this._problem.severity;
    node.textContent = `${this._problem.where} ${this._problem.message}`.trim();
    return node;
  }
}

export class Marks implements IDisposable {
  /** @param local a path of the contents without its drive. */
  constructor(
    private readonly _editors: IEditorTracker | null,
    private readonly _local: (path: string) => string
  ) {
    _editors?.widgetAdded.connect(this._onAdded, this);
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  dispose(): void {
    if (!this._disposed) {
      this._disposed = true;
      this._editors?.widgetAdded.disconnect(this._onAdded, this);
      this.show(this._folder, []);
    }
  }

  /** What is wrong in the files of a folder, in the place of what was wrong before. */
  show(folder: string, problems: readonly Problem[]): void {
    if (folder !== this._folder) {
      this._problems = [];
      this._editors?.forEach(each => this._mark(each));
    }
    this._folder = folder;
    this._problems = problems;
    this._editors?.forEach(each => this._mark(each));
  }

  private _onAdded(_: IEditorTracker, widget: EditorWidget): void {
    void widget.context.ready.then(() => {
      if (!this._disposed && this._problems.length > 0) {
        this._mark(widget);
      }
    });
  }

  private _mark(widget: EditorWidget): void {
    const path = this._local(widget.context.path).split('/');
    const file = path.pop();
    const view = (widget.content.editor as { editor?: EditorView }).editor;
    if (path.join('/') !== this._folder || !(view instanceof EditorView)) {
      return;
    }
    const placed = this._problems.filter(
      (each): each is Placed => each.line !== null && each.file?.split('/').pop() === file
    );
    if (view.state.field(shown, false) === undefined) {
      if (placed.length === 0) {
        return;
      }
      view.dispatch({ effects: StateEffect.appendConfig.of(shown) });
    }
    view.dispatch({ effects: setProblems.of(placed) });
  }

  private _folder = '';
  private _problems: readonly Problem[] = [];
  private _disposed = false;
}

type EditorWidget = NonNullable<IEditorTracker['currentWidget']>;
