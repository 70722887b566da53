/** What of an endpoint a token is for, as people write and read it. Pure. */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { PathRuleInfo, PathRuleSpec } from '../types';

const METHODS = '[A-Za-z][A-Za-z-]*(?:/[A-Za-z][A-Za-z-]*)*';
const RULE = new RegExp(`^(?:(${METHODS})\\s+)?(/\\S*)$`);
/** Paths may have commas in them. */
const BETWEEN = new RegExp(`,\\s*(?=(?:${METHODS}\\s+)?/)`);

/** "POST /v1/chat/*, GET/HEAD /v1/models"; empty for everything. */
export function rulesText(rules: readonly PathRuleInfo[]): string {
  return rules
    .map(each => (each.methods === null ? each.path : `${each.methods.join('/')} ${each.path}`))
    .join(', ');
}

/** What is wrong with what was typed, in a sentence; null where nothing is. */
export function rulesProblem(typed: string, trans: TranslationBundle): string | null {
  return rulesFrom(typed) === null
    ? trans.__('Paths such as /v1/models, POST /v1/chat/*, with commas in between; empty: everything.')
    : null;
}

/** Null for what cannot be read. Whether a path can be meant in two ways is the server's to say. */
export function rulesFrom(typed: string): PathRuleSpec[] | null {
  const text = typed.trim();
  if (text === '') {
    return [];
  }
  const found = text.split(BETWEEN).map(each => RULE.exec(each.trim()));
  return found.some(each => each === null)
    ? null
    : found.map(each => ({ path: each![2], methods: each![1]?.toUpperCase().split('/') ?? null }));
}
