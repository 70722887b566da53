import { Widget } from '@lumino/widgets';

import type { DeployOptions, DeployWidget } from '../parts';

export function createDeploy(options: DeployOptions): DeployWidget {
  const widget = new Widget();
  widget.node.textContent = options.path;
  return widget;
}
