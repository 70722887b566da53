/** Opens the parts in the main area; each is loaded when it is first opened, and found again afterwards. A page that
 * takes no more into its main area (those of Notebook 7 have one document each) has JupyterLab open them. */
import type { ILayoutRestorer } from '@jupyterlab/application';
import { MainAreaWidget, Notification, WidgetTracker } from '@jupyterlab/apputils';
import type { Widget } from '@lumino/widgets';

import type { Key } from './api';
import { queryOf } from './handover';
import { servicesIcon } from './icons';
import { CommandIDs, DEFINITION, DeployWidget, PartOptions, Tab, ViewWidget } from './parts';
import { NAMESPACE } from './tokens';
import { unloaded } from './words';

interface Opening {
  id: string;
  label: string;
  caption: string;
  /** The command that opens it again, and what that is given. */
  command: string;
  args: Record<string, string | null>;
  load: () => Promise<Widget>;
}

export class Opener {
  /** @param _confined whether the main area may have no room: where nothing says that this is JupyterLab. */
  constructor(
    private readonly _options: PartOptions,
    private readonly _confined: boolean
  ) {}

  /** The service whose view (or form, or console) is the current widget of its kind. */
  get current(): Key | null {
    const shown = this._options.shell.currentWidget;
    const found = shown === null ? undefined : this._args.get(shown.id);
    return found?.key ?? null;
  }

  /** Like the others, null where it is not shown here; why is told. */
  async view(key: Key, tab?: Tab): Promise<Widget | null> {
    const { trans } = this._options.model;
    const id = `${NAMESPACE}:view:${key}`;
    const widget = await this._show(this._views, {
      id,
      label: name(key),
      caption: trans.__('Model service %1', key),
      command: CommandIDs.open,
      args: tab === undefined ? { key } : { key, tab },
      load: async () => {
        const view = (await import('./view')).createView({ ...this._options, key, tab });
        view.tabChanged.connect((_, shown) => this._remember(this._views, id, { key, tab: shown }), this);
        return view;
      }
    });
    if (widget !== null && tab !== undefined) {
      (widget.content as ViewWidget).showTab(tab);
    }
    return widget;
  }

  console(key: Key): Promise<Widget | null> {
    const { trans } = this._options.model;
    return this._show(this._consoles, {
      id: `${NAMESPACE}:try:${key}`,
      label: trans.__('Try %1', name(key)),
      caption: trans.__('Call the model service %1', key),
      command: CommandIDs.tryIt,
      args: { key },
      load: async () => (await import('./console')).createConsole({ ...this._options, key })
    });
  }

  /** A folder has one form, whether it, its definition or nothing was named when that was opened. */
  deploy(named: string | null, update: Key | null): Promise<Widget | null> {
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
      command: CommandIDs.deploy,
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

  private async _show(
    tracker: WidgetTracker<MainAreaWidget>,
    opening: Opening
  ): Promise<MainAreaWidget | null> {
    const { shell } = this._options;
    // A second click while it is being loaded must not make a second one.
    const making = this._making.get(opening.id) ?? this._make(tracker, opening);
    this._making.set(opening.id, making);
    try {
      const widget = await making;
      if (widget === null || widget.isDisposed) {
        return null;
      }
      if (!widget.isAttached) {
        shell.add(widget, 'main');
      }
      if (this._confined && !widget.isAttached) {
        widget.dispose();
        await this._handOver(opening);
        return null;
      }
      shell.activateById(widget.id);
      return widget;
    } finally {
      this._making.delete(opening.id);
    }
  }

  /** JupyterLab opens it, on a page of its own. */
  private async _handOver(opening: Opening): Promise<void> {
    const { api, trans } = this._options.model;
    const address = api.labUrl(queryOf(opening.command, opening.args));
    if (!(await api.hasLab())) {
      const sentence = trans.__(
        'This page has no room for “%1”, and JupyterLab, which has, is not there: install jupyterlab where the Jupyter server runs.',
        opening.label
      );
      Notification.error(sentence, { autoClose: 10000 });
    } else if (window.open(address, '_blank') === null) {
      // The browser opens pages only for a click that was just now.
      Notification.info(trans.__('This page has no room for “%1”: JupyterLab has.', opening.label), {
        autoClose: false,
        actions: [
          { label: trans.__('Open in JupyterLab'), callback: () => void window.open(address, '_blank') }
        ]
      });
    }
  }

  /** Null: it could not be loaded, which is told. */
  private async _make(
    tracker: WidgetTracker<MainAreaWidget>,
    opening: Opening
  ): Promise<MainAreaWidget | null> {
    const there = tracker.find(widget => widget.id === opening.id);
    if (there !== undefined) {
      return there;
    }
    const content = await opening.load().catch(error => this._tellUnloaded(tracker, opening, error));
    if (content === null) {
      return null;
    }
    const widget = new MainAreaWidget({ content });
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

  private _tellUnloaded(tracker: WidgetTracker<MainAreaWidget>, opening: Opening, error: unknown): null {
    const { trans } = this._options.model;
    console.warn(`${opening.id} could not be loaded.`, error);
    Notification.error(unloaded(trans), {
      autoClose: false,
      actions: [{ label: trans.__('Try Again'), callback: () => void this._show(tracker, opening) }]
    });
    return null;
  }

  private readonly _views = new WidgetTracker<MainAreaWidget>({ namespace: `${NAMESPACE}-view` });
  private readonly _consoles = new WidgetTracker<MainAreaWidget>({ namespace: `${NAMESPACE}-try` });
  private readonly _forms = new WidgetTracker<MainAreaWidget>({ namespace: `${NAMESPACE}-deploy` });
  private readonly _args = new Map<string, Record<string, string | null>>();
  private readonly _making = new Map<string, Promise<MainAreaWidget | null>>();
}

/** Without the owner, who is mostly the reader. */
function name(key: Key): string {
  return key.split('/').pop() ?? key;
}

/** The folder that a path names, by itself or by its definition. */
function folderOf(path: string): string {
  return path.replace(DEFINITION, '').replace(/^\/+|\/+$/g, '');
}
