import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { ModelServiceApi } from '../api';
import { ServicesModel } from '../model/services';
import { shared } from '../model/shared';
import { notify } from '../notices';
import { DOMAIN, IModelServices } from '../tokens';

/** The model, which asks nothing of the server before somebody looks. */
export const services: JupyterFrontEndPlugin<IModelServices> = {
  id: 'jupyter-model-service:services',
  description: 'Provides the list of model services, kept current while it is watched.',
  autoStart: true,
  provides: IModelServices,
  optional: [ITranslator, ISettingRegistry],
  activate: (app: JupyterFrontEnd, translator: ITranslator | null, settings: ISettingRegistry | null) => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const api = new ModelServiceApi(app.serviceManager.serverSettings, undefined, trans);
    const stream = {
      open: shared(signal => api.stream(signal), `${api.settings.baseUrl}model-service/stream/1`)
    };
    const model = new ServicesModel({ api, translator: translator ?? nullTranslator, stream });
    model.noticed.connect((_, { key, sentences }) => {
      for (const each of sentences) {
        notify({
          text: `${key.split('/').pop()}: ${each}`,
          title: model.trans.__('About %1', key),
          kind: 'info',
          trans: model.trans
        });
      }
    });
    void settings
      ?.load(services.id)
      .then(found => {
        const read = () => {
          model.pollInterval = 1000 * (found.get('pollInterval').composite as number);
        };
        found.changed.connect(read, model);
        read();
      })
      .catch(error => console.warn('The settings of the model services could not be read.', error));
    return { model };
  }
};
