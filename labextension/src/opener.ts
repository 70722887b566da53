/** Opens the parts in the main area; each is loaded when it is first opened, and found again afterwards. */
import type { ILayoutRestorer } from '@jupyterlab/application';
import { MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import type { Widget } from '@lumino/widgets';

import type { Key } from './api';
import { servicesIcon } from './icons';
import { CommandIDs, DEFINITION, DeployWidget, PartOptions, Tab, ViewWidget } from './parts';
import { NAMESPACE } from './tokens';

interface Opening {
  id: string;
  label: string;
  caption: string;
  /** What the command that opens it again is given. */
  args: Record<string, string | null>;
  load: () => Promise<Widget>;
}

export class Opener {
  constructor(private readonly _options: PartOptions) {}

  /** The service whose view (or form, or console) is the current widget of its kind. */
  get current(): Key | null {
    const shown = this._options.shell.currentWidget;
    const found = shown === null ? undefined : this._args.get(shown.id);
    return found?.key ?? null;
  }

  async view(key: Key, tab?: Tab): Promise<Widget> {
    const { trans } = this._options.model;
    const id = `${NAMESPACE}:view:${key}`;
    const widget = await this._show(this._views, {
      id,
      label: name(key),
      caption: trans.__('Model service %1', key),
      args: { key },
      load: async () => {
        const view = (await import('./view')).createView({ ...this._options, key, tab });
        view.tabChanged.connect((_, shown) => this._remember(this._views, id, { key, tab: shown }), this);
        return view;
      }
    });
    if (tab !== undefined) {
      (widget.content as ViewWidget).showTab(tab);
    }
    return widget;
  }

  console(key: Key): Promise<Widget> {
    const { trans } = this._options.model;
    return this._show(this._consoles, {
      id: `${NAMESPACE}:try:${key}`,
      label: trans.__('Try %1', name(key)),
      caption: trans.__('Call the model service %1', key),
      args: { key },
      load: async () => (await import('./console')).createConsole({ ...this._options, key })
    });
  }

  /** A folder has one form, whether it, its definition or nothing was named when that was opened. */
  deploy(named: string | null, update: Key | null): Promise<Widget> {
    const { trans } = this._options.model;
    const path = named === null ? null : folderOf(named);
    const there = this._forms.find(
      ({ content }) => update === null && path !== null && (content as DeployWidget).folder === path
    );
    return this._show(this._forms, {
      id: there?.id ?? `${NAMESPACE}:deploy:${update ?? (path === '' ? '/' : (path ?? ''))}`,
      label: update === null ? trans.__('New model service') : trans.__('Update %1', name(update)),
      caption:
        update === null
          ? trans.__('Deploy a model folder')
          : trans.__('Make the next revision of %1', update),
      args: update === null ? { path: path === '' ? '/' : path } : { key: update },
      load: async () => (await import('./deploy')).createDeploy({ ...this._options, path, update })
    });
  }

  /** With which arguments it is opened again. */
  private _remember(
    tracker: WidgetTracker<MainAreaWidget>,
    id: string,
    args: Record<string, string | null>
  ): void {
    this._args.set(id, args);
    const widget = tracker.find(each => each.id === id);
    if (widget !== undefined) {
      void tracker.save(widget);
    }
  }

  /** What was open before the page was loaded again is opened again. */
  restore(restorer: ILayoutRestorer): void {
    const again = (tracker: WidgetTracker<MainAreaWidget>, command: string) =>
      void restorer.restore(tracker, {
        command,
        args: widget => this._args.get(widget.id) ?? {},
        name: widget => widget.id
      });
    again(this._views, CommandIDs.open);
    again(this._consoles, CommandIDs.tryIt);
    again(this._forms, CommandIDs.deploy);
  }

  private async _show(tracker: WidgetTracker<MainAreaWidget>, opening: Opening): Promise<MainAreaWidget> {
    const { shell } = this._options;
    // A second click while it is being loaded must not make a second one.
    const making = this._making.get(opening.id) ?? this._make(tracker, opening);
    this._making.set(opening.id, making);
    try {
      const widget = await making;
      if (!widget.isAttached) {
        shell.add(widget, 'main');
      }
      shell.activateById(widget.id);
      return widget;
    } finally {
      this._making.delete(opening.id);
    }
  }

  private async _make(tracker: WidgetTracker<MainAreaWidget>, opening: Opening): Promise<MainAreaWidget> {
    const there = tracker.find(widget => widget.id === opening.id);
    if (there !== undefined) {
      return there;
    }
    const widget = new MainAreaWidget({ content: await opening.load() });
    widget.id = opening.id;
    widget.title.label = opening.label;
    widget.title.caption = opening.caption;
    widget.title.icon = servicesIcon;
    widget.title.closable = true;
    this._args.set(opening.id, opening.args);
    widget.disposed.connect(() => this._args.delete(opening.id), this);
    await tracker.add(widget);
    return widget;
  }

  private readonly _views = new WidgetTracker<MainAreaWidget>({ namespace: `${NAMESPACE}-view` });
  private readonly _consoles = new WidgetTracker<MainAreaWidget>({ namespace: `${NAMESPACE}-try` });
  private readonly _forms = new WidgetTracker<MainAreaWidget>({ namespace: `${NAMESPACE}-deploy` });
  private readonly _args = new Map<string, Record<string, string | null>>();
  private readonly _making = new Map<string, Promise<MainAreaWidget>>();
}

/** Without the owner, who is mostly the reader. */
function name(key: Key): string {
  return key.split('/').pop() ?? key;
}

/** The folder that a path names, by itself or by its definition. */
function folderOf(path: string): string {
  return path.replace(DEFINITION, '').replace(/^\/+|\/+$/g, '');
}
