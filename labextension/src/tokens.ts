/** What other extensions may ask for, without loading anything of ours. */
import { Token } from '@lumino/coreutils';

import type { ServicesModel } from './model/services';

/** Of translations. */
export const DOMAIN = 'jupyter_model_service';

/** Prefix of plugins, commands and widgets. */
export const NAMESPACE = 'jupyter-model-service';

export interface IModelServices {
  readonly model: ServicesModel;
}

export const IModelServices = new Token<IModelServices>(
  'jupyter-model-service:IModelServices',
  'The model services of the user: their list, kept current while it is watched, and what can be done to them.'
);
