import { Widget } from '@lumino/widgets';

import type { Tab, ViewOptions, ViewWidget } from '../parts';

class View extends Widget implements ViewWidget {
  constructor(options: ViewOptions) {
    super();
    this.node.textContent = options.key;
  }

  showTab(_tab: Tab): void {}
}

export function createView(options: ViewOptions): ViewWidget {
  return new View(options);
}
