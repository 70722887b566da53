/** With whom one service is shared, whose pages may call it, who called it, and what some person may do with it. */
import type { Access, ServiceEvent, ShareInfo, ShareRequest, UseList } from '../api';
import { ShownModel } from './shown';

interface Known {
  access: Access;
  people: boolean;
  uses: UseList;
}

/** What the gateway tells of it while it is on the screen. */
export class AccessModel extends ShownModel<Known> {
  /** Null until it is known. Its `person` is the one that was asked about. */
  get access(): Access | null {
    return this.answer?.access ?? null;
  }

  /** Null until it is known. */
  get uses(): UseList | null {
    return this.answer?.uses ?? null;
  }

  /** Whether there is anybody to share with; null until it is known. */
  get people(): boolean | null {
    return this.answer?.people ?? null;
  }

  // --- they reject with the ApiError of the refusal ----------------------------------------------------------

  /** In the place of what was shared with the same user or group. */
  async share(kind: ShareInfo['kind'], name: string, body: ShareRequest): Promise<void> {
    const shared = await this.services.api.share(this.key, kind, name, body);
    this.services._told(this.key, shared.notices);
    await this.refresh();
  }

  async unshare(kind: ShareInfo['kind'], name: string): Promise<void> {
    await this.services.api.unshare(this.key, kind, name);
    await this.refresh();
  }

  /** Whose pages may call it from a browser, in the place of the former ones. */
  async allowOrigins(origins: readonly string[]): Promise<void> {
    await this.services.api.allowOrigins(this.key, origins);
    await this.refresh();
  }

  /** What this user may do, and why; null: of nobody in particular. */
  async ask(user: string | null): Promise<void> {
    const before = this._user;
    this._user = user; // what is asked for meanwhile, and answered later, is to be about her, too
    try {
      await this.look(this.question());
    } catch (error) {
      this._user = before;
      throw error;
    }
    this.tell();
  }

  protected question(): Promise<Known> {
    return this._about(this._user);
  }

  /** Somebody else may share it, too, or say whose pages may call it. */
  protected concerns(event: ServiceEvent): boolean {
    return event.kind.endsWith('shared') || event.kind === 'service.origins';
  }

  private async _about(user: string | null): Promise<Known> {
    const { api } = this.services;
    const [access, { people }, uses] = await Promise.all([
      api.access(this.key, user),
      api.gateway(),
      api.uses(this.key)
    ]);
    return { access, people, uses };
  }

  private _user: string | null = null;
}
