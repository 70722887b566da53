/** What the form knows: of which folder, what is wrong with it, what stands in the fields, what is under way. */
import type { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { ApiError, Draft, FolderInfo, Key, keyOf, Problem, SampleRequest, Service } from '../api';
import { Changes } from '../model/changes';
import { DryRunModel } from '../model/dryrun';
import type { ServicesModel } from '../model/services';
import { copyWords } from '../words';
import {
  blocks,
  cleanPath,
  createBody,
  EMPTY,
  pathBelow,
  updateBody,
  Values,
  valuesOf,
  valuesOfRevision,
  Wrong
} from './values';

/** `choose`: no folder yet. `looking`: it is being read. `wizard`: it has no definition. */
export type Stage = 'choose' | 'looking' | 'wizard' | 'form';

const NONE: readonly Problem[] = [];

export interface DeployModelOptions {
  model: ServicesModel;
  path: string | null;
  update: Key | null;
}

export class DeployModel implements IDisposable {
  constructor(options: DeployModelOptions) {
    this.services = options.model;
    this.update = options.update;
    this.dryRun = new DryRunModel(options.model.api);
    this.dryRun.changed.connect(() => this._changes.now(), this);
    this.services.changed.connect(() => this._changes.soon(), this);
    this._path = options.path;
    this._stage = options.path === null && options.update === null ? 'choose' : 'looking';
  }

  readonly services: ServicesModel;
  readonly update: Key | null;
  readonly dryRun: DryRunModel;

  get changed(): ISignal<this, void> {
    return this._changes.signal;
  }

  get stage(): Stage {
    return this._stage;
  }

  /** As the file browser names it; null: none was chosen, or it has it not. */
  get path(): string | null {
    return this._path;
  }

  get folder(): FolderInfo | null {
    return this._folder;
  }

  get problems(): readonly Problem[] {
    return this._refusal?.problems.length ? this._refusal.problems : (this._folder?.problems ?? NONE);
  }

  /** What the folder, or the server, has to say against it; one sentence. */
  get refused(): string | null {
    return this._refusal?.message ?? null;
  }

  get values(): Values {
    return this._values;
  }

  /** What is wrong in the fields; known once it has been tried. */
  get wrong(): Wrong {
    return this._wrong;
  }

  /** What is under way, in words; null: nothing is. */
  get busy(): string | null {
    if (this._busy === null) {
      return null;
    }
    const copy = [...this.services.copies].find(([key]) =>
      this.update === null ? key.endsWith(`/${this._values.name}`) : key === this.update
    )?.[1];
    return copy === undefined ? this._busy : copyWords(copy, this.services.trans);
  }

  /** The service that gets a new revision. */
  get service(): Service | null {
    return this.update === null ? null : (this.services.service(this.update) ?? this._service);
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  dispose(): void {
    if (!this._disposed) {
      this._disposed = true;
      Signal.clearData(this);
      this.dryRun.dispose();
      this._changes.dispose();
    }
  }

  set(part: Partial<Values>): void {
    this._values = { ...this._values, ...part };
    this._touched = true;
    this._wrong = {};
    this._changes.now();
  }

  /** Reads the folder of the options for the first time. Never rejects. */
  async begin(): Promise<void> {
    if (this.update !== null) {
      await this._beginUpdate(this.update);
    } else if (this._path !== null) {
      await this.look(this._path);
    }
  }

  /** Reads a folder, again where it is the same: what was typed stays. Never rejects. */
  async look(path: string): Promise<void> {
    const again = this._folder !== null && this._folder.path === cleanPath(path);
    if (!again) {
      this._stage = 'looking';
      this._folder = null;
      this._touched = false;
    }
    this._path = cleanPath(path);
    this._refusal = null;
    this._changes.now();
    try {
      const found = await this.services.api.folder(this._path);
      if (this._path !== cleanPath(path) || this._disposed) {
        return; // another one was chosen meanwhile
      }
      this._folder = found;
      this._path = found.path;
      this._stage = found.definition_file === null ? 'wizard' : 'form';
      if (!this._touched && this.update === null) {
        this._values = valuesOf(found);
      }
    } catch (error) {
      this._refusal = refusal(error);
      this._stage = this.update === null ? 'choose' : 'form';
    }
    this._changes.now();
  }

  /** Back to the choice of a folder. */
  chooseAgain(): void {
    this._stage = 'choose';
    this._refusal = null;
    this._changes.now();
  }

  /** Makes the service, or its next revision. The key of it, or null: what is wrong stands in the form. */
  async deploy(): Promise<Key | null> {
    const { services, update, _values: values } = this;
    const { trans } = services;
    if (this._busy !== null || blocks(this._folder?.problems ?? [])) {
      return null;
    }
    const made =
      update === null
        ? createBody(values, this._folder?.folder ?? '', services.offer, trans)
        : updateBody(values, services.offer, trans);
    this._wrong = made.wrong;
    this._refusal = null;
    if (Object.keys(made.wrong).length > 0) {
      this._changes.now();
      return null;
    }
    this._busy = update === null ? trans.__('Making the service …') : trans.__('Making the revision …');
    this._changes.now();
    try {
      if (update !== null) {
        await services.update(update, made.body);
        return update;
      }
      return keyOf(await services.create(made.body as Parameters<ServicesModel['create']>[0]));
    } catch (error) {
      this._refusal = refusal(error);
      return null;
    } finally {
      this._busy = null;
      if (!this._disposed) {
        this._changes.now();
      }
    }
  }

  /** Starts the folder's server beside the notebook; `request` is sent to it. */
  async tryOut(request: SampleRequest | null): Promise<void> {
    if (this._path !== null) {
      await this.dryRun.start(this._path, request);
    }
  }

  /** What would be written, or is. Rejects with the refusal. */
  draft(kind: string, fields: Record<string, string | number | boolean>, write: boolean): Promise<Draft> {
    return this.services.api.draft({ path: this._path ?? '', kind, fields, write });
  }

  private async _beginUpdate(key: Key): Promise<void> {
    try {
      const { api } = this.services;
      const [service, site] = await Promise.all([api.get(key), this.services.site ?? api.site()]);
      this._service = service;
      const active = service.revisions.find(each => each.number === service.revision);
      this._values = active === undefined ? EMPTY : valuesOfRevision(active);
      const path = active === undefined ? null : pathBelow(site.root, active.folder);
      if (path !== null) {
        await this.look(path);
        return;
      }
      this._stage = 'form';
    } catch (error) {
      this._refusal = refusal(error);
      this._stage = 'form';
    }
    this._changes.now();
  }

  private readonly _changes = new Changes<this>(this);
  private _stage: Stage;
  private _path: string | null;
  private _folder: FolderInfo | null = null;
  private _service: Service | null = null;
  private _refusal: ApiError | null = null;
  private _values: Values = EMPTY;
  private _wrong: Wrong = {};
  private _busy: string | null = null;
  private _touched = false;
  private _disposed = false;
}

/** What is no refusal of the server is a fault of ours, and for the console. */
function refusal(error: unknown): ApiError {
  if (!(error instanceof ApiError)) {
    throw error;
  }
  return error;
}
