/** What the parts that are loaded when they are first needed are given, and the commands that they may call. */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import type { IEditorTracker } from '@jupyterlab/fileeditor';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { ITranslator } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ISignal } from '@lumino/signaling';
import type { Widget } from '@lumino/widgets';

import type { Key } from './api';
import type { ServicesModel } from './model/services';
import { NAMESPACE } from './tokens';

export interface PartOptions {
  model: ServicesModel;
  translator: ITranslator;
  commands: CommandRegistry;
  shell: JupyterFrontEnd.IShell;
  /** Null where the application has none (Notebook 7 has no file browser beside a notebook, say). */
  documents: IDocumentManager | null;
  editors: IEditorTracker | null;
  notebooks: INotebookTracker | null;
}

/** The tabs of a service's view. */
export type Tab =
  | 'overview' // replicas and charts
  | 'logs'
  | 'events'
  | 'decisions' // why it was scaled
  | 'scaling' // the editor of the policy
  | 'revisions'
  | 'tokens'
  | 'share'
  | 'audit' // who did what
  | 'definition'
  | 'try';

export interface ViewOptions extends PartOptions {
  key: Key;
  tab?: Tab;
}

/** `src/view/index.ts` exports `createView(options: ViewOptions): ViewWidget`. */
export interface ViewWidget extends Widget {
  /** Brings a tab to the front. */
  showTab(tab: Tab): void;
  readonly tab: Tab;
  readonly tabChanged: ISignal<ViewWidget, Tab>;
}

export interface DeployOptions extends PartOptions {
  /** The folder (or a file in it), as the file browser names it; null: to be chosen in the form. */
  path: string | null;
  /** The service that gets a new revision of its folder; null: a new service is made. */
  update: Key | null;
}

/** `src/deploy/index.ts` exports `createDeploy(options: DeployOptions): DeployWidget`. */
export interface DeployWidget extends Widget {
  /** What it makes a service of; null: nothing was chosen, or it makes the next revision of one. */
  readonly folder: string | null;
}

export interface ConsoleOptions extends PartOptions {
  key: Key;
}

/** `src/console/index.ts` exports `createConsole(options: ConsoleOptions): Widget`. */
export type ConsoleWidget = Widget;

/** Paths of what the server takes for a definition. */
export const DEFINITION = /(^|\/)model-definition\.ya?ml$/;

/** Of the panel in the sidebar. */
export const PANEL_ID = `${NAMESPACE}:panel`;

/** Ids of the commands; `commands.ts` has what they do. */
export const CommandIDs = {
  /** {key, tab?} */
  open: 'jupyter-model-service:open',
  /** {path?}: without it, of what is selected in the file browser, or to be chosen in the form. */
  deploy: 'jupyter-model-service:deploy',
  /** {path?}: the folder of what is selected in the file browser. */
  deploySelected: 'jupyter-model-service:deploy-selected',
  /** {key}: a form for the next revision. */
  update: 'jupyter-model-service:update',
  /** {key} */
  tryIt: 'jupyter-model-service:try',
  /** {key, replicas} or {key, by} */
  scale: 'jupyter-model-service:scale',
  /** {key, revision?} */
  rollback: 'jupyter-model-service:rollback',
  /** {key} */
  restart: 'jupyter-model-service:restart',
  /** {key} */
  start: 'jupyter-model-service:start',
  /** {key} */
  stop: 'jupyter-model-service:stop',
  /** {key}: asks first. */
  remove: 'jupyter-model-service:delete',
  /** {key} */
  copyEndpoint: 'jupyter-model-service:copy-endpoint',
  /** {key, visibility?}: asks first, saying what it means. */
  setVisibility: 'jupyter-model-service:set-visibility',
  refresh: 'jupyter-model-service:refresh',
  showPanel: 'jupyter-model-service:show-panel'
} as const;
