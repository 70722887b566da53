/** Finding words in a log. Pure. */
import { clean } from '../format';

/** A line without what is meant for a terminal; of a line that was written over itself, what was written last. */
export function plainLine(line: string): string {
  const last = line.replace(/\r+$/, '').split('\r').pop() ?? '';
  return clean(last);
}

/** The line in pieces, each second one of which is what is looked for: "a [b] c" → ["a ", "b", " c"]. */
export function pieces(line: string, search: string): string[] {
  if (search === '') {
    return [line];
  }
  const found: string[] = [];
  const folded = line.toLowerCase();
  const words = search.toLowerCase();
  // A letter that folds to two would move the rest: then only what is written the same is found.
  const within = folded.length === line.length ? folded : line;
  let from = 0;
  for (let at = within.indexOf(words); at >= 0; at = within.indexOf(words, from)) {
    found.push(line.slice(from, at), line.slice(at, at + words.length));
    from = at + words.length;
  }
  found.push(line.slice(from));
  return found;
}

/** How often it is in the lines. */
export function countOf(lines: readonly string[], search: string): number {
  return search === ''
    ? 0
    : lines.reduce((sum, line) => sum + (pieces(plainLine(line), search).length - 1) / 2, 0);
}

export interface Chunk {
  /** Number of its first line, counted from the first line that ever was. */
  first: number;
  /** Where its lines are among those that are kept. */
  from: number;
  to: number;
}

/** The lines in parts that stay what they are while lines come and go: only the first and the last one change. */
export function chunks(lost: number, count: number, size = 200): Chunk[] {
  const found: Chunk[] = [];
  for (let from = 0; from < count;) {
    const first = lost + from;
    const to = Math.min(count, from + size - (first % size));
    found.push({ first, from, to });
    from = to;
  }
  return found;
}
