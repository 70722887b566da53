/** What differs between two revisions. Pure. */
import type { Revision } from '../types';
import { textOf } from './yaml';

export interface Difference {
  /** "image", "definition.service.port" … */
  field: string;
  /** As text; null: it is not there. */
  before: string | null;
  after: string | null;
}

/** From `before` to `after`, field by field. Of the environment only names are known, and of files how many there are. */
export function differences(before: Revision, after: Revision): Difference[] {
  const [old, young] = [flat(partsOf(before)), flat(partsOf(after))];
  const fields = [...new Set([...old.keys(), ...young.keys()])];
  return fields
    .map(field => ({ field, before: old.get(field) ?? null, after: young.get(field) ?? null }))
    .filter(each => each.before !== each.after);
}

function partsOf(revision: Revision): Record<string, unknown> {
  const { folder, image, environment, mounts, resources, files, definition } = revision;
  return {
    folder,
    image,
    environment: [...environment].sort(),
    mounts: mounts.map(each => `${each.source}:${each.target}${each.read_only ? ':ro' : ''}`),
    resources,
    files: { kept: files.source, count: files.files, bytes: files.bytes, of: files.fingerprint },
    definition
  };
}

/** Mappings are taken apart; a list is one value, which a reader wants to see whole. */
function flat(value: unknown, path = '', found = new Map<string, string>()): Map<string, string> {
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
    for (const [key, each] of Object.entries(value)) {
      flat(each, path === '' ? key : `${path}.${key}`, found);
    }
  } else if (value !== null && value !== undefined && !(Array.isArray(value) && value.length === 0)) {
    found.set(path, typeof value === 'string' ? value : textOf(value));
  }
  return found;
}
