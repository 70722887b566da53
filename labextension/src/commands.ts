/** Every command, in one place: panel, views, menus, palette, launcher and keyboard call these. */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Clipboard, Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import type { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import type { TranslationBundle } from '@jupyterlab/translation';
import { refreshIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { ApiError, Key, Service } from './api';
import { servicesIcon } from './icons';
import type { ServicesModel } from './model/services';
import { notify } from './notices';
import type { Opener } from './opener';
import { CommandIDs, PANEL_ID, Tab } from './parts';
import { may, Role } from './roles';

export interface CommandOptions {
  app: JupyterFrontEnd;
  model: ServicesModel;
  opener: Opener;
  trans: TranslationBundle;
  browsers: IFileBrowserFactory | null;
}

type Args = ReadonlyPartialJSONObject;
type Visibility = Service['visibility'];

const WORDS: readonly Visibility[] = ['private', 'shared', 'public'];

type Verb = {
  /** Null: of none in particular. */
  label: string | ((service: Service | null) => string);
  caption: string;
  /** The least that one has to be. */
  role: Role;
  fits: (service: Service) => boolean;
  work: (key: Key, args: Args) => Promise<unknown>;
};

/** The schema of the arguments of those that are about one service. */
function ofService(more: Record<string, object> = {}) {
  return {
    args: {
      type: 'object',
      properties: {
        key: {
          type: 'string',
          description: 'Which service: owner/name; default: the one whose view is open'
        },
        context: { type: 'boolean', description: 'The one whose context menu is open' },
        ...more
      }
    }
  } as const;
}

export function addCommands(options: CommandOptions): void {
  addOpening(options);
  addFinding(options);
  for (const [id, verb] of Object.entries(verbs(options))) {
    addVerb(options, id, verb);
  }
  addScaling(options);
}

/** Which service a command is about. */
function keyFrom({ app, opener }: CommandOptions, args: Args): Key | null {
  if (typeof args.key === 'string') {
    return args.key;
  }
  if (args.context) {
    return app.contextMenuHitTest(node => node.dataset.key !== undefined)?.dataset.key ?? null;
  }
  return opener.current;
}

/** Of a service that is not known yet the server decides. */
function allowed(options: CommandOptions, args: Args, role: Role): boolean {
  const key = keyFrom(options, args);
  const service = key === null ? null : options.model.service(key);
  return key !== null && (service === null || may(service, role));
}

/** What goes wrong is told in one sentence; nothing is left for the caller to do. */
async function told<T>(work: () => Promise<T>, trans: TranslationBundle): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ApiError)) {
      throw error;
    }
    notify({ text: error.message, title: trans.__('Model services'), kind: 'error', trans });
    return undefined;
  }
}

function addOpening(options: CommandOptions): void {
  const { app, opener, trans, browsers } = options;
  const selected = () => [...(browsers?.tracker.currentWidget?.selectedItems() ?? [])];
  const add = (id: string, command: CommandRegistry.ICommandOptions) => app.commands.addCommand(id, command);

  add(CommandIDs.open, {
    label: trans.__('Open'),
    caption: trans.__('Open the view of this model service'),
    icon: servicesIcon,
    describedBy: ofService({ tab: { type: 'string', description: 'The tab to bring to the front' } }),
    isEnabled: args => keyFrom(options, args) !== null,
    execute: async args => {
      const key = keyFrom(options, args);
      return key === null ? undefined : opener.view(key, args.tab as Tab | undefined);
    }
  });
  add(CommandIDs.tryIt, {
    label: trans.__('Try'),
    caption: trans.__('Call this model service and see its answer'),
    describedBy: ofService(),
    isEnabled: args => keyFrom(options, args) !== null,
    execute: async args => {
      const key = keyFrom(options, args);
      return key === null ? undefined : opener.console(key);
    }
  });
  add(CommandIDs.update, {
    label: trans.__('Update…'),
    caption: trans.__('Make the next revision of this model service and roll over to it'),
    describedBy: ofService(),
    isEnabled: args => allowed(options, args, 'owner'),
    isVisible: args => !args.context || allowed(options, args, 'owner'),
    execute: async args => {
      const key = keyFrom(options, args);
      return key === null ? undefined : opener.deploy(null, key);
    }
  });
  add(CommandIDs.deploy, {
    label: args => (args.isLauncher ? trans.__('Model service') : trans.__('New Model Service')),
    caption: trans.__('Deploy a model folder as a service with an HTTP endpoint'),
    icon: args => (args.isPalette ? undefined : servicesIcon),
    describedBy: {
      args: {
        type: 'object',
        properties: {
          path: { type: 'string', description: 'The model folder, as the file browser names it' },
          cwd: { type: 'string', description: 'Where the launcher was opened' },
          key: { type: 'string', description: 'Of a form that is opened again: the service that it updates' },
          isLauncher: { type: 'boolean' },
          isPalette: { type: 'boolean' }
        }
      }
    },
    execute: args =>
      typeof args.key === 'string'
        ? opener.deploy(null, args.key)
        : opener.deploy(String(args.path ?? args.cwd ?? '') || null, null)
  });
  add(CommandIDs.deploySelected, {
    label: trans.__('Deploy as Model Service…'),
    caption: trans.__('Deploy the selected folder as a service with an HTTP endpoint'),
    icon: servicesIcon,
    describedBy: { args: { type: 'object', properties: {} } },
    isVisible: () => selected().length === 1,
    execute: async () => {
      const path = selected()[0]?.path;
      return path === undefined
        ? undefined
        : opener.deploy(app.serviceManager.contents.localPath(path), null);
    }
  });
}

function addFinding({ app, model, trans }: CommandOptions): void {
  app.commands.addCommand(CommandIDs.showPanel, {
    label: trans.__('Show Model Services'),
    caption: trans.__('Show the panel that lists the model services'),
    describedBy: { args: { type: 'object', properties: {} } },
    execute: async () => {
      app.shell.activateById(PANEL_ID);
      // The palette hands the focus to the main area when it has begun a command: the panel takes it after that.
      await new Promise(resolve => setTimeout(resolve, 0));
      app.shell.activateById(PANEL_ID);
    }
  });
  app.commands.addCommand(CommandIDs.refresh, {
    label: trans.__('Refresh Model Services'),
    caption: trans.__('Ask for the list of model services again'),
    icon: refreshIcon,
    describedBy: { args: { type: 'object', properties: {} } },
    execute: () => model.refresh()
  });
}

function addVerb(options: CommandOptions, id: string, verb: Verb): void {
  const { app, model } = options;
  const { label } = verb;
  const serviceOf = (args: Args) => {
    const key = keyFrom(options, args);
    return key === null ? null : model.service(key);
  };
  const fits = (args: Args) => {
    const service = serviceOf(args);
    return service !== null && may(service, verb.role) && verb.fits(service);
  };
  app.commands.addCommand(id, {
    label: typeof label === 'string' ? label : args => label(serviceOf(args)),
    caption: verb.caption,
    describedBy: ofService(
      id === CommandIDs.setVisibility
        ? { visibility: { enum: WORDS, description: 'default: private if it is public, else public' } }
        : id === CommandIDs.rollback
          ? { revision: { type: 'number', description: 'default: the former one' } }
          : {}
    ),
    isEnabled: fits,
    isVisible: args => !args.context || fits(args),
    execute: async args => {
      const key = keyFrom(options, args);
      return key === null ? undefined : told(() => verb.work(key, args), model.trans);
    }
  });
}

function verbs({ model, trans }: CommandOptions): Record<string, Verb> {
  const off = (service: Service) => service.state === 'stopped' || service.state === 'failed';
  const there = (service: Service) => service.state !== 'deleting';
  return {
    [CommandIDs.start]: {
      label: trans.__('Start'),
      caption: trans.__('Start this model service again'),
      role: 'operator',
      fits: off,
      work: key => model.start(key)
    },
    [CommandIDs.restart]: {
      label: trans.__('Restart'),
      caption: trans.__('Replace every replica of this model service'),
      role: 'operator',
      fits: service => there(service) && service.state !== 'stopped',
      work: key => model.restart(key)
    },
    [CommandIDs.stop]: {
      label: trans.__('Stop'),
      caption: trans.__('End the replicas; the service and its endpoint stay'),
      role: 'operator',
      fits: service => there(service) && service.state !== 'stopped',
      work: key => model.stop(key)
    },
    [CommandIDs.rollback]: {
      label: trans.__('Roll Back…'),
      caption: trans.__('Return to a former revision'),
      role: 'operator',
      fits: service => there(service) && service.revisions.length > 1,
      work: async (key, args) => {
        const { confirmRollback } = await import('./view/rollback');
        const revision = typeof args.revision === 'number' ? args.revision : null;
        if (await confirmRollback(model.service(key), key, revision, trans)) {
          await model.rollback(key, revision);
        }
      }
    },
    [CommandIDs.copyEndpoint]: {
      label: trans.__('Copy Endpoint'),
      caption: trans.__('Copy the address at which this model service is called'),
      role: 'caller',
      fits: there,
      work: async key => {
        Clipboard.copyToSystem(model.service(key)?.endpoint ?? '');
        Notification.success(trans.__('The address of the endpoint is in the clipboard.'), {
          autoClose: 3000
        });
      }
    },
    [CommandIDs.setVisibility]: {
      label: service => (service?.public === true ? trans.__('Make Private…') : trans.__('Make Public…')),
      caption: trans.__('Say who may call this model service'),
      role: 'owner',
      fits: there,
      work: async (key, args) => {
        const word = WORDS.find(each => each === args.visibility) ?? other(model.service(key));
        if (await confirmVisibility(key, word, trans)) {
          await model.update(key, { visibility: word });
        }
      }
    },
    [CommandIDs.remove]: {
      label: trans.__('Delete…'),
      caption: trans.__('End the replicas and remove the service with its endpoint, tokens and history'),
      role: 'owner',
      fits: there,
      work: async key => {
        if (await confirmRemoval(key, trans)) {
          await model.remove(key);
        }
      }
    }
  };
}

function other(service: Service | null): Visibility {
  return service?.public === true ? 'private' : 'public';
}

async function confirmVisibility(key: Key, word: Visibility, trans: TranslationBundle): Promise<boolean> {
  const said = {
    private: {
      title: trans.__('Make %1 private?', key),
      body: trans.__(
        'Calls without one of its tokens are refused from then on, and with whom it is shared, it is not any more.'
      ),
      button: Dialog.okButton({ label: trans.__('Make Private') })
    },
    shared: {
      title: trans.__('Let only those call %1 whom it is shared with?', key),
      body: trans.__('All others need one of its tokens from then on.'),
      button: Dialog.okButton({ label: trans.__('Keep It Shared') })
    },
    public: {
      title: trans.__('Make %1 public?', key),
      body: trans.__(
        'Everybody who can reach the address of its endpoint can call it then, without a token, and use what it runs on.'
      ),
      button: Dialog.warnButton({ label: trans.__('Make Public') })
    }
  }[word];
  const answer = await showDialog({
    title: said.title,
    body: said.body,
    buttons: [Dialog.cancelButton(), said.button]
  });
  return answer.button.accept;
}

async function confirmRemoval(key: Key, trans: TranslationBundle): Promise<boolean> {
  const answer = await showDialog({
    title: trans.__('Delete %1?', key),
    body: trans.__(
      'Its replicas end, and its endpoint, tokens and history are removed. The model folder stays as it is.'
    ),
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Delete') })]
  });
  return answer.button.accept;
}

function addScaling(options: CommandOptions): void {
  const { app, model, trans } = options;
  app.commands.addCommand(CommandIDs.scale, {
    label: trans.__('Scale'),
    caption: trans.__('Set how many replicas this model service has'),
    describedBy: ofService({
      replicas: { type: 'number', description: 'how many' },
      by: { type: 'number', description: 'how many more or fewer' }
    }),
    isEnabled: args => allowed(options, args, 'operator'),
    execute: async args => {
      const key = keyFrom(options, args);
      if (key === null) {
        return;
      }
      const asked =
        typeof args.replicas === 'number' ? args.replicas : model.wanted(key) + Number(args.by ?? 0);
      const most = model.offer?.max_replicas ?? Infinity;
      await told(() => model.scale(key, Math.max(0, Math.min(most, asked))), trans);
    }
  });
}
