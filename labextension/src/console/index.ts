/** The console on a service: loaded when the first one is opened. */
import type { ConsoleOptions, ConsoleWidget } from '../parts';
import { TryConsole } from './widget';

export function createConsole(options: ConsoleOptions): ConsoleWidget {
  return new TryConsole(options);
}
