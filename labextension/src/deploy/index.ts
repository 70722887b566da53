/** The form that makes a service of a folder: loaded when the first one is opened. */
import type { DeployOptions, DeployWidget } from '../parts';
import { DeployForms } from './widget';

export function createDeploy(options: DeployOptions): DeployWidget {
  return new DeployForms(options);
}
