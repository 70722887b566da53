/** What somebody may do with a service: each role may all that those before it may. */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { Service } from './types';

export type Role = Service['role'];

/** Those that a service can be shared as. */
export const SHARED_ROLES = ['caller', 'viewer', 'operator'] as const;

const ALL: readonly Role[] = [...SHARED_ROLES, 'owner'];

/** Whether that role, or one that may more, is hers who looks. A gateway that tells no role has one user. */
export function may(service: { role?: Role } | null, needed: Role): boolean {
  return service !== null && ALL.indexOf(service.role ?? 'owner') >= ALL.indexOf(needed);
}

export function roleWord(role: Role, trans: TranslationBundle): string {
  const words: Record<Role, string> = {
    caller: trans.__('caller'),
    viewer: trans.__('viewer'),
    operator: trans.__('operator'),
    owner: trans.__('owner')
  };
  return words[role];
}

export function roleSentence(role: Role, trans: TranslationBundle): string {
  const sentences: Record<Role, string> = {
    caller: trans.__('may call it'),
    viewer: trans.__('may call it, and see its state, events, logs and figures'),
    operator: trans.__('may also scale, stop, start, restart, roll back and autoscale'),
    owner: trans.__('may do everything')
  };
  return sentences[role];
}
