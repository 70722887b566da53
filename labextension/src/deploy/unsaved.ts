/** What stands in open editors of the folder and is not saved: it would not be deployed. */
import type { IEditorTracker } from '@jupyterlab/fileeditor';
import type { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { DEFINITION } from '../parts';

/** How long nothing is typed before the text is looked at. */
const PAUSE = 500; // milliseconds

type EditorWidget = NonNullable<IEditorTracker['currentWidget']>;

export class Unsaved implements IDisposable {
  /** @param local a path of the contents without its drive. */
  constructor(
    private readonly _editors: IEditorTracker | null,
    private readonly _local: (path: string) => string
  ) {
    _editors?.widgetAdded.connect(this._add, this);
    _editors?.forEach(each => this._add(_editors, each));
  }

  /** `text` of the definition as it stands in the editor, a moment after it was typed; null: it is saved. */
  get edited(): ISignal<this, string | null> {
    return this._edited;
  }

  /** Other files have unsaved changes than before. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  dispose(): void {
    if (!this._disposed) {
      this._disposed = true;
      clearTimeout(this._timer);
      Signal.clearData(this); // what it is connected to, too
    }
  }

  /** The folder that it is about. */
  set folder(folder: string | null) {
    if (folder !== this._folder) {
      this._folder = folder;
      this._look();
    }
  }

  /** The files' names. */
  get names(): readonly string[] {
    return [...new Set(this._dirty().map(each => this._name(each)))];
  }

  async save(): Promise<void> {
    await Promise.all([...new Set(this._dirty().map(each => each.context))].map(each => each.save()));
  }

  private _add(_: IEditorTracker, widget: EditorWidget): void {
    const { context } = widget;
    context.model.contentChanged.connect(this._look, this);
    context.model.stateChanged.connect(this._look, this);
    widget.disposed.connect(this._look, this);
  }

  private _look(): void {
    this._changed.emit();
    clearTimeout(this._timer);
    this._timer = setTimeout(() => {
      const definition = this._dirty().find(each => DEFINITION.test(this._name(each)));
      const text = definition?.context.model.toString() ?? null;
      if (text !== this._text) {
        this._text = text;
        this._edited.emit(text);
      }
    }, PAUSE);
  }

  private _dirty(): EditorWidget[] {
    const found: EditorWidget[] = [];
    this._editors?.forEach(each => {
      if (!each.isDisposed && each.context.model.dirty && this._folderOf(each) === this._folder) {
        found.push(each);
      }
    });
    return found;
  }

  private _folderOf(widget: EditorWidget): string {
    return this._local(widget.context.path).split('/').slice(0, -1).join('/');
  }

  private _name(widget: EditorWidget): string {
    return widget.context.path.split('/').pop() ?? '';
  }

  private readonly _edited = new Signal<this, string | null>(this);
  private readonly _changed = new Signal<this, void>(this);
  private _folder: string | null = null;
  private _text: string | null = null;
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _disposed = false;
}
