import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IRunningSessionManagers } from '@jupyterlab/running';
import type { IDisposable } from '@lumino/disposable';
import type { Widget } from '@lumino/widgets';

import { keyOf, Service } from '../api';
import { servicesIcon } from '../icons';
import type { ServicesModel } from '../model/services';
import { CommandIDs } from '../parts';
import { IModelServices } from '../tokens';
import { whileSeen } from '../watching';
import { readyFigures, stateWord } from '../words';

/** The services that have replicas, beside kernels and terminals. */
export const running: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-model-service:running',
  description: 'Lists model services among what runs.',
  autoStart: true,
  requires: [IModelServices],
  optional: [IRunningSessionManagers],
  activate: (app: JupyterFrontEnd, services: IModelServices, managers: IRunningSessionManagers | null) => {
    if (managers === null) {
      return; // a notebook's page in Notebook 7
    }
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

/** The section itself is not told whether anybody sees it, but the list of all that runs is: a sidebar in JupyterLab, a
 * tab of the main area in Notebook 7. */
function watchWhileShown(app: JupyterFrontEnd, model: ServicesModel): void {
  for (const area of ['left', 'right', 'main']) {
    for (const widget of app.shell.widgets(area)) {
      const list = listIn(widget);
      if (list !== null) {
        let watch: IDisposable | null = null;
        const seen = () => {
          watch ??= model.watch();
        };
        const hidden = () => {
          watch?.dispose();
          watch = null;
        };
        whileSeen(list, seen, hidden);
        if (list.isVisible) {
          seen();
        }
      }
    }
  }
}

function listIn(widget: Widget): Widget | null {
  if (widget.hasClass('jp-RunningSessions')) {
    return widget;
  }
  for (const child of widget.children()) {
    const found = listIn(child);
    if (found !== null) {
      return found;
    }
  }
  return null;
}
