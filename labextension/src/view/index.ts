/** The view of one service: loaded when the first one is opened. */
import type { ViewOptions, ViewWidget } from '../parts';
import { ServiceView } from './widget';

export function createView(options: ViewOptions): ViewWidget {
  return new ServiceView(options);
}
