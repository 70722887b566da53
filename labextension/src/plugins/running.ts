import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IRunningSessionManagers } from '@jupyterlab/running';
import type { IDisposable } from '@lumino/disposable';
import { Message, MessageLoop } from '@lumino/messaging';
import type { Widget } from '@lumino/widgets';

import { keyOf, Service } from '../api';
import { servicesIcon } from '../icons';
import type { ServicesModel } from '../model/services';
import { CommandIDs } from '../parts';
import { IModelServices } from '../tokens';
import { readyFigures, stateWord } from '../words';

/** The services that have replicas, beside kernels and terminals. */
export const running: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-model-service:running',
  description: 'Lists model services among what runs.',
  autoStart: true,
  requires: [IModelServices, IRunningSessionManagers],
  activate: (app: JupyterFrontEnd, services: IModelServices, managers: IRunningSessionManagers) => {
    const { model } = services;
    const { trans } = model;
    managers.add({
      name: trans.__('Model Services'),
      running: () =>
        model.services.filter(runs).map(service => ({
          open: () => void app.commands.execute(CommandIDs.open, { key: keyOf(service) }),
          shutdown: () => void app.commands.execute(CommandIDs.stop, { key: keyOf(service) }),
          icon: () => servicesIcon,
          label: () => service.name,
          labelTitle: () => trans.__('%1: %2', keyOf(service), stateWord(service.state, trans)),
          detail: () => readyFigures(service, service.replicas.want)
        })),
      shutdownAll: () => {
        for (const service of model.services.filter(runs)) {
          void app.commands.execute(CommandIDs.stop, { key: keyOf(service) });
        }
      },
      refreshRunning: () => void model.refresh(),
      runningChanged: model.changed,
      shutdownLabel: trans.__('Stop'),
      shutdownAllLabel: trans.__('Stop All'),
      shutdownAllConfirmationText: trans.__(
        'Are you sure you want to stop all model services? Their endpoints stay and refuse calls.'
      )
    });
    void app.restored.then(() => watchWhileShown(app, model));
  }
};

function runs(service: Service): boolean {
  return service.replicas.total > 0 || service.replicas.want > 0;
}

/** The section itself is not told whether anybody sees it, but its sidebar is. */
function watchWhileShown(app: JupyterFrontEnd, model: ServicesModel): void {
  let watch: IDisposable | null = null;
  const look = (sidebar: Widget) => {
    if (sidebar.isVisible) {
      watch ??= model.watch();
    } else {
      watch?.dispose();
      watch = null;
    }
  };
  for (const area of ['left', 'right']) {
    for (const sidebar of app.shell.widgets(area)) {
      if (sidebar.id === 'jp-running-sessions') {
        MessageLoop.installMessageHook(sidebar, (_, message: Message) => {
          if (['after-show', 'after-hide', 'after-attach', 'before-detach'].includes(message.type)) {
            requestAnimationFrame(() => look(sidebar as Widget));
          }
          return true;
        });
        look(sidebar);
      }
    }
  }
}
