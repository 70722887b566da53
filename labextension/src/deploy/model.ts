/** What the form knows: of which folder, what is wrong with it, what stands in the fields, what is under way. */
import type { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { ApiError, Check, Draft, FolderInfo, Key, keyOf, Problem, SampleRequest, Service } from '../api';
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
  portProblem,
  updateBody,
  Values,
  valuesOf,
  valuesOfRevision,
  Wrong
} from './values';

/** `choose`: no folder yet. `looking`: it is being read. `wizard`: it has no definition. */
export type Stage = 'choose' | 'looking' | 'wizard' | 'form';

const NOTHING: Check = { problems: [], port_problem: null };

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
    return this._refusal?.problems.length ? this._refusal.problems : this._found;
  }

  /** Files of the folder that stand otherwise in an editor than they would be deployed. */
  get unsaved(): readonly string[] {
    return this._unsaved;
  }

  set unsaved(names: readonly string[]) {
    if (names.join('/') !== this._unsaved.join('/')) {
      this._unsaved = names;
      this._changes.now();
    }
  }

  /** Whether what is saved cannot be deployed, or is not what is seen. */
  get blocked(): boolean {
    return this._unsaved.length > 0 || blocks(this.problems);
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
      this._checked = null;
      this._text = null;
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
      if (this._text === null) {
        this._checked = null;
        this._checks++; // what is on its way is about a former text
      }
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

  /** What is wrong with a text of the definition that is not saved; null: it is saved. Never rejects. */
  async check(text: string | null): Promise<void> {
    const path = this._path;
    const check = ++this._checks;
    this._text = text;
    if (text === null) {
      await this.look(path ?? '');
      return;
    }
    try {
      const found = await this.services.api.check({ path: path ?? '', text });
      if (check === this._checks && path === this._path && !this._disposed) {
        this._checked = found;
        this._refusal = null;
        this._changes.now();
      }
    } catch (error) {
      refusal(error); // it is looked at again with what is typed next, or once it is saved
    }
  }

  /** Of the folder, and of what is being typed. Never rejects. */
  async checkAgain(): Promise<void> {
    const text = this._text;
    await this.look(this._path ?? '');
    if (text !== null) {
      await this.check(text);
    }
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
    if (this._busy !== null || this.blocked) {
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

  private get _found(): readonly Problem[] {
    const { problems, port_problem } = this._checked ?? this._folder ?? NOTHING;
    const port = portProblem(port_problem, this._values, this.update === null ? null : this._kept);
    return port === null ? problems : [...problems, port];
  }

  private async _beginUpdate(key: Key): Promise<void> {
    try {
      const { api } = this.services;
      const [service, site] = await Promise.all([api.get(key), this.services.site ?? api.site()]);
      this._service = service;
      const active = service.revisions.find(each => each.number === service.revision);
      this._values = active === undefined ? EMPTY : valuesOfRevision(active);
      this._kept = active?.environment ?? [];
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
  /** Of the text in the editor, while that is not saved. */
  private _checked: Check | null = null;
  private _text: string | null = null;
  private _checks = 0;
  private _unsaved: readonly string[] = [];
  private _kept: readonly string[] = [];
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
