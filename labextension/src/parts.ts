/** What the parts that are loaded when they are first needed are given, and the commands that they may call. */
import type { ITranslator } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { Widget } from '@lumino/widgets';

import type { Key } from './api';
import type { ServicesModel } from './model/services';

export interface PartOptions {
  model: ServicesModel;
  translator: ITranslator;
  commands: CommandRegistry;
}

/** The tabs of a service's view. */
export type Tab =
  'overview' | 'replicas' | 'events' | 'scaling' | 'logs' | 'revisions' | 'tokens' | 'definition' | 'try';

export interface ViewOptions extends PartOptions {
  key: Key;
  tab?: Tab;
}

/** `src/view/index.ts` exports `createView(options: ViewOptions): ViewWidget`. */
export interface ViewWidget extends Widget {
  /** Brings a tab to the front. */
  showTab(tab: Tab): void;
}

export interface DeployOptions extends PartOptions {
  /** The folder (or a file in it), as the file browser names it; null: to be chosen in the form. */
  path: string | null;
  /** The service that gets a new revision of its folder; null: a new service is made. */
  update: Key | null;
}

/** `src/deploy/index.ts` exports `createDeploy(options: DeployOptions): Widget`. */
export type DeployWidget = Widget;

export interface ConsoleOptions extends PartOptions {
  key: Key;
}

/** `src/console/index.ts` exports `createConsole(options: ConsoleOptions): Widget`. */
export type ConsoleWidget = Widget;

/** Ids of the commands; `commands.ts` has what they do. */
export namespace CommandIDs {
  /** {key, tab?} */
  export const open = 'jupyter-model-service:open';
  /** {path?}: without it, of what is selected in the file browser, or to be chosen in the form. */
  export const deploy = 'jupyter-model-service:deploy';
  /** {path?}: the folder of what is selected in the file browser. */
  export const deploySelected = 'jupyter-model-service:deploy-selected';
  /** {key}: a form for the next revision. */
  export const update = 'jupyter-model-service:update';
  /** {key} */
  export const tryIt = 'jupyter-model-service:try';
  /** {key, replicas} or {key, by} */
  export const scale = 'jupyter-model-service:scale';
  /** {key, revision?} */
  export const rollback = 'jupyter-model-service:rollback';
  /** {key} */
  export const restart = 'jupyter-model-service:restart';
  /** {key} */
  export const start = 'jupyter-model-service:start';
  /** {key} */
  export const stop = 'jupyter-model-service:stop';
  /** {key}: asks first. */
  export const remove = 'jupyter-model-service:delete';
  /** {key} */
  export const copyEndpoint = 'jupyter-model-service:copy-endpoint';
  /** {key, public}: asks first, saying what it means. */
  export const setPublic = 'jupyter-model-service:set-public';
  export const refresh = 'jupyter-model-service:refresh';
  export const showPanel = 'jupyter-model-service:show-panel';
}
