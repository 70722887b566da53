/** Who did what with one service, and what was denied to whom. */
import type { AuditEntry } from '../api';
import { ShownModel } from './shown';

const FIRST = 100; // entries, and so many more each time that older ones are asked for
const MOST = 1000; // that the gateway tells at once; all of them are in the file

export class AuditModel extends ShownModel<readonly AuditEntry[]> {
  /** The newest, oldest first; null until they are known. */
  get entries(): readonly AuditEntry[] | null {
    return this.answer;
  }

  /** Whether there are older ones that can be shown here. */
  get more(): boolean {
    return this._more && this.entries !== null && this._wanted < MOST;
  }

  async older(): Promise<void> {
    this._wanted = Math.min(MOST, this._wanted + FIRST);
    await this.refresh();
  }

  /** All that there is, a line of JSON each, oldest first. Rejects with the ApiError of the refusal. */
  async lines(): Promise<string> {
    const found: string[] = [];
    for (let after = 0; ;) {
      const { entries, next, more } = await this.services.api.audit(this.key, { limit: MOST, after });
      found.push(...entries.map(each => `${JSON.stringify(each)}\n`));
      if (!more || next <= after) {
        return found.join('');
      }
      after = next;
    }
  }

  protected async question(): Promise<readonly AuditEntry[]> {
    const wanted = this._wanted;
    let found: readonly AuditEntry[] = [];
    // Where entries are long the gateway tells fewer at once than it is asked for: those before them follow.
    for (let before: number | undefined; ;) {
      const limit = wanted - found.length;
      const { entries, more } = await this.services.api.audit(this.key, { limit, newest: true, before });
      found = [...entries, ...found];
      if (!more || entries.length === 0 || found.length >= wanted) {
        this._more = more;
        return found;
      }
      before = found[0].id;
    }
  }

  /** What is done leaves an event, too. */
  protected concerns(): boolean {
    return true;
  }

  private _wanted = FIRST;
  private _more = false;
}
