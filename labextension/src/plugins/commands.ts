import {
  ILabShell,
  ILayoutRestorer,
  IRouter,
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { IEditorTracker } from '@jupyterlab/fileeditor';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { addCommands } from '../commands';
import { wishOf } from '../handover';
import { definitionIcon } from '../icons';
import { Opener } from '../opener';
import { CommandIDs } from '../parts';
import { IModelServices } from '../tokens';

/** What can be done with services, from wherever. */
export const commands: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-model-service:commands',
  description:
    'Adds the commands of model services, to the palette, the launcher and the context menus, too.',
  autoStart: true,
  requires: [IModelServices],
  optional: [
    ITranslator,
    ILayoutRestorer,
    ICommandPalette,
    ILauncher,
    IFileBrowserFactory,
    IDocumentManager,
    IEditorTracker,
    INotebookTracker,
    ILabShell,
    IRouter
  ],
  activate: (
    app: JupyterFrontEnd,
    services: IModelServices,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    browsers: IFileBrowserFactory | null,
    documents: IDocumentManager | null,
    editors: IEditorTracker | null,
    notebooks: INotebookTracker | null,
    laboratory: ILabShell | null,
    router: IRouter | null
  ) => {
    const { model } = services;
    const { trans } = model;
    const parts = {
      model,
      translator: translator ?? nullTranslator,
      commands: app.commands,
      shell: app.shell,
      documents,
      editors,
      notebooks
    };
    const opener = new Opener(parts, laboratory === null);
    addCommands({ app, model, opener, trans, browsers });
    if (restorer !== null) {
      opener.restore(restorer);
    }
    if (laboratory !== null && router !== null) {
      takeOver(app, router);
    }
    launcher?.add({
      command: CommandIDs.deploy,
      category: trans.__('Other'),
      args: { isLauncher: true },
      rank: 10
    });
    const category = trans.__('Model Services');
    palette?.addItem({ command: CommandIDs.deploy, category, args: { isPalette: true } });
    for (const command of [
      CommandIDs.showPanel,
      CommandIDs.refresh,
      CommandIDs.tryIt,
      CommandIDs.update,
      CommandIDs.rollback,
      CommandIDs.restart,
      CommandIDs.start,
      CommandIDs.stop,
      CommandIDs.copyEndpoint,
      CommandIDs.setVisibility,
      CommandIDs.remove
    ]) {
      palette?.addItem({ command, category });
    }
    // So that the context menu knows it, and it is known at sight.
    app.docRegistry.addFileType({
      name: 'model-definition',
      displayName: trans.__('Model definition'),
      pattern: '^model-definition\\.ya?ml$',
      extensions: [],
      mimeTypes: ['text/x-yaml', 'text/yaml'],
      contentType: 'file',
      fileFormat: 'text',
      icon: definitionIcon
    });
  }
};

/** Opens what a page without room for it has asked for; once, and not again when this page is loaded again. */
function takeOver(app: JupyterFrontEnd, router: IRouter): void {
  const wish = wishOf(router.current.search ?? '');
  if (wish !== null) {
    void app.restored.then(() => {
      const { path, search = '', hash = '' } = router.current;
      router.navigate(`${path}${wishOf(search)?.rest ?? search}${hash}`, { skipRouting: true });
      return app.commands.execute(wish.command, wish.args);
    });
  }
}
