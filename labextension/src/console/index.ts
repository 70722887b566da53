import { Widget } from '@lumino/widgets';

import type { ConsoleOptions, ConsoleWidget } from '../parts';

export function createConsole(options: ConsoleOptions): ConsoleWidget {
  const widget = new Widget();
  widget.node.textContent = options.key;
  return widget;
}
