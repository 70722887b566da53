/** The server's states, phases and tokens as words. Pure. */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { Copy, Service, ServiceState } from './api';
import { bytes, clean, figure } from './format';

export function stateWord(state: ServiceState, trans: TranslationBundle): string {
  switch (state) {
    case 'starting':
      return trans.__('Starting');
    case 'ready':
      return trans.__('Ready');
    case 'idle':
      return trans.__('Idle');
    case 'degraded':
      return trans.__('Degraded');
    case 'updating':
      return trans.__('Updating');
    case 'stopped':
      return trans.__('Stopped');
    case 'failed':
      return trans.__('Failed');
    case 'deleting':
      return trans.__('Deleting');
    default:
      return state; // of a newer server
  }
}

/** Where the server had no sentence of its own: what is wrong, by the code of the `ApiError`. */
export function failure(
  code: 'unreachable' | 'no_route' | 'bad_path' | 'status',
  { patience, status, statusText }: { patience?: number; status?: number; statusText?: string },
  trans: TranslationBundle
): string {
  switch (code) {
    case 'unreachable':
      return patience === undefined
        ? trans.__('The Jupyter server does not answer.')
        : trans.__('The Jupyter server did not answer within %1 s.', patience / 1000);
    case 'no_route':
      return trans.__('This Jupyter server does not know the address.');
    case 'bad_path':
      return trans.__('The path leads out of the endpoint: nothing was sent.');
    case 'status':
      return trans.__('The server answered %1.', [status, statusText].filter(Boolean).join(' '));
  }
}

/** Of a part of the panel that is loaded when it is first needed. */
export function unloaded(trans: TranslationBundle): string {
  return trans.__('This part of the panel could not be loaded: the Jupyter server did not send it.');
}

/** What colour a state has: the class `jp-mod-TONE` where it is shown. The word always stands beside it. */
export type Tone = 'good' | 'busy' | 'bad' | 'quiet';

export function tone(state: ServiceState): Tone {
  switch (state) {
    case 'ready':
      return 'good';
    case 'starting':
    case 'updating':
    case 'deleting':
      return 'busy';
    case 'degraded':
    case 'failed':
      return 'bad';
    default:
      return 'quiet';
  }
}

export function phaseWord(phase: string, trans: TranslationBundle): string {
  switch (phase) {
    case 'requested':
      return trans.__('Requested');
    case 'starting':
      return trans.__('Starting');
    case 'preparing':
      return trans.__('Preparing');
    case 'loading':
      return trans.__('Loading');
    case 'ready':
      return trans.__('Ready');
    case 'unhealthy':
      return trans.__('Unhealthy');
    case 'draining':
      return trans.__('Finishing its calls');
    case 'stopping':
      return trans.__('Stopping');
    case 'failed':
      return trans.__('Failed');
    case 'gone':
      return trans.__('Gone');
    default:
      return phase;
  }
}

/** How many of the `wanted` replicas are ready, and how many are besides, which the new ones will take the place of. */
export interface Ready {
  ready: number;
  wanted: number;
  /** Of a former revision. */
  old: number;
  /** Of the same: so many fewer are wanted now. */
  over: number;
}

/** While there are no more than are wanted, each of them counts, whatever its revision: they are what answers. */
export function readyOf(service: Service, wanted: number): Ready {
  const ready = service.replicas.ready;
  if (ready <= wanted) {
    return { ready, wanted, old: 0, over: 0 };
  }
  const ofFormer = service.replica_list.filter(
    each => each.phase === 'ready' && each.revision !== service.revision
  ).length;
  const fresh = Math.max(0, ready - ofFormer);
  return { ready: Math.min(fresh, wanted), wanted, old: ready - fresh, over: Math.max(0, fresh - wanted) };
}

/** "1 of 1 ready", "1 of 1 ready, 1 old" */
export function readyWords(service: Service, wanted: number, trans: TranslationBundle): string {
  const counts = readyOf(service, wanted);
  return [trans.__('%1 of %2 ready', counts.ready, wanted), ...besides(counts, trans)].join(', ');
}

/** "1 of 1 replicas are ready, 1 old" */
export function readySentence(service: Service, wanted: number, trans: TranslationBundle): string {
  const counts = readyOf(service, wanted);
  return [trans.__('%1 of %2 replicas are ready', counts.ready, wanted), ...besides(counts, trans)].join(
    ', '
  );
}

function besides({ old, over }: Ready, trans: TranslationBundle): string[] {
  return [old > 0 ? trans.__('%1 old', old) : '', over > 0 ? trans.__('%1 to end', over) : ''].filter(
    Boolean
  );
}

/** The same as short as it can be: "1/1", "1/1 +1". */
export function readyFigures(service: Service, wanted: number): string {
  const { ready, old, over } = readyOf(service, wanted);
  return `${ready}/${wanted}${old + over > 0 ? ` +${old + over}` : ''}`;
}

/** What is going on with a service, in a sentence; null where its state says it all. */
export function remark(
  service: Service,
  trans: TranslationBundle,
  { pending = null, copy = null }: { pending?: string | null; copy?: Copy | null } = {}
): string | null {
  if (pending !== null) {
    return `${pending} …`;
  }
  if (copy !== null) {
    return copyWords(copy, trans);
  }
  // A stopped service says "stopped" of itself, which its state does already.
  if (service.reason && service.reason !== service.state) {
    return clean(service.reason);
  }
  const busy = service.replica_list.find(each => each.phase === 'preparing' || each.phase === 'loading');
  if (busy?.action) {
    return trans.__('%1 (%2 of %3)', busy.action.label, busy.action.index, busy.action.count);
  }
  if (service.state === 'starting' && busy !== undefined) {
    return `${phaseWord(busy.phase, trans)} …`;
  }
  return service.note === null ? null : clean(service.note);
}

export function copyWords(copy: Copy, trans: TranslationBundle): string {
  const share = copy.of_bytes ? Math.min(1, copy.bytes / copy.of_bytes) : null;
  return share === null
    ? trans.__('Copying the folder: %1', bytes(copy.bytes))
    : trans.__(
        'Copying the folder: %1 of %2 (%3 %)',
        bytes(copy.bytes),
        bytes(copy.of_bytes ?? 0),
        figure(100 * share)
      );
}
