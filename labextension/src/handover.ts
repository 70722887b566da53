/** Addresses of JupyterLab that open a view, for pages that have no room for one (those of Notebook 7). Pure. */
import { CommandIDs } from './parts';

/** Only what opens something: an address may come from anybody. */
const OPENING: readonly string[] = [CommandIDs.open, CommandIDs.tryIt, CommandIDs.deploy];
const COMMAND = 'model-service';
const ARGUMENTS = ['key', 'tab', 'path'];
const prefixed = (name: string) => `${COMMAND}-${name}`;

export interface Wish {
  command: string;
  args: Record<string, string>;
  /** What the address asks for besides: of its query, with the question mark, or nothing. */
  rest: string;
}

/** The query, with its question mark. */
export function queryOf(command: string, args: Readonly<Record<string, string | null | undefined>>): string {
  const query = new URLSearchParams({ [COMMAND]: command.split(':').pop() ?? '' });
  for (const name of ARGUMENTS) {
    const value = args[name];
    if (value) {
      query.set(prefixed(name), value);
    }
  }
  return `?${query}`;
}

/** Null where the query asks for nothing of ours. */
export function wishOf(query: string): Wish | null {
  const found = new URLSearchParams(query);
  const command = OPENING.find(each => each.endsWith(`:${found.get(COMMAND)}`));
  if (command === undefined) {
    return null;
  }
  const args: Record<string, string> = {};
  found.delete(COMMAND);
  for (const name of ARGUMENTS) {
    const value = found.get(prefixed(name));
    if (value !== null) {
      args[name] = value;
    }
    found.delete(prefixed(name));
  }
  const rest = found.toString();
  return { command, args, rest: rest === '' ? '' : `?${rest}` };
}
