/** What the console knows: the call that is typed, the answer as it comes, and the calls that are kept with the folder. */
import type { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { ApiError, CallAnswer, Key, keyOf, SampleRequest, Service, Shared } from '../api';
import { pathBelow } from '../deploy/values';
import { Changes } from '../model/changes';
import type { ServicesModel } from '../model/services';
import { checked, firstOf, fromSample, toSample, Typed, Wrong } from './request';

/** Characters of an answer that are shown; the rest is counted only. */
const MOST = 400_000;
const EACH = 100; // milliseconds between two drawings of an answer that comes

export interface Answer {
  status: number;
  statusText: string;
  headers: CallAnswer['headers'];
  /** Milliseconds since the call was sent. */
  headersMs: number;
  firstByteMs: number | null;
  totalMs: number | null;
  text: string;
  /** Bytes of what is not for reading, of which nothing is kept; null: it is a text. */
  size: number | null;
  /** Characters, with those that are not shown. */
  length: number;
  outcome: 'coming' | 'whole' | 'stopped' | 'broken';
}

export class ConsoleModel implements IDisposable {
  constructor(
    readonly services: ServicesModel,
    readonly key: Key
  ) {
    this.services.changed.connect(this._onServices, this);
    this._typed = firstOf(this.service);
  }

  get changed(): ISignal<this, void> {
    return this._changes.signal;
  }

  get service(): Service | null {
    return this.services.service(this.key) ?? this._found;
  }

  /** What can be said of it in code: the service, or what is shared for calling alone; null while neither is known. */
  get called(): Pick<Service, 'endpoint' | 'public' | 'name'> | null {
    return this.service ?? (this._shared === undefined ? null : { ...this._shared, public: false });
  }

  /** What she sees of it who may call it alone. */
  private get _shared(): Shared | undefined {
    return this.services.shared.find(each => keyOf(each) === this.key);
  }

  get typed(): Typed {
    return this._typed;
  }

  /** What is wrong with what is typed. */
  get wrong(): Wrong {
    return checked(this._typed, this.services.trans).wrong;
  }

  get sending(): boolean {
    return this._abort !== null;
  }

  get answer(): Answer | null {
    return this._answer;
  }

  /** Why there is no answer; one sentence. */
  get problem(): string | null {
    return this._problem;
  }

  /** Null: the folder is not one of the file browser, and nothing can be kept. */
  get samples(): readonly SampleRequest[] | null {
    return this._path === null ? null : this._samples;
  }

  /** Whose call was chosen last. */
  get chosen(): string | null {
    return this._chosen;
  }

  /** What is to be known of what was kept last. */
  get note(): string | null {
    return this._note;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  dispose(): void {
    if (!this._disposed) {
      this._disposed = true;
      this.stop();
      Signal.clearData(this);
      this._changes.dispose();
    }
  }

  private async _findSamples(): Promise<void> {
    const { api } = this.services;
    this._found = this.service ?? (await api.get(this.key));
    const { revisions, revision } = this._found;
    const active = revisions.find(each => each.number === revision);
    const { root } = this.services.site ?? (await api.site());
    const path = active === undefined ? null : pathBelow(root, active.folder);
    if (path !== null) {
      this._samples = (await api.folder(path)).requests;
      this._path = path;
    }
  }

  set(part: Partial<Typed>): void {
    this._typed = { ...this._typed, ...part };
    this._touched = true;
    this._changes.now();
  }

  /** The calls that the folder keeps. Never rejects: without them the console is of use all the same. */
  async begin(): Promise<void> {
    try {
      if (this.service !== null || this._shared === undefined) {
        await this._findSamples(); // whoever may call it alone is told of no folder, and asking is a denial in the log
      }
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
    }
    if (this._disposed) {
      return;
    }
    if (!this._touched) {
      if (this._samples.length > 0) {
        this.choose(this._samples[0].name);
      } else {
        this._typed = firstOf(this.service);
      }
    }
    this._changes.now();
  }

  choose(name: string): void {
    const found = this._samples.find(each => each.name === name);
    if (found !== undefined) {
      this._typed = fromSample(found);
      this._chosen = name;
      this._note = null;
      this._changes.now();
    }
  }

  /** Keeps what is typed, in the place of what has the name. Rejects with the refusal. */
  async keep(name: string): Promise<void> {
    const made = toSample(name, this._typed, this.services.trans);
    const there = this._samples.some(each => each.name === name);
    await this._store(
      there ? this._samples.map(each => (each.name === name ? made : each)) : [...this._samples, made]
    );
    this._chosen = name;
    const kept = this._samples.find(each => each.name === name)?.headers ?? {};
    const left = Object.keys(made.headers ?? {}).filter(each => !(each in kept));
    this._note =
      left.length === 0
        ? null
        : this.services.trans.__(
            'Kept without %1: a folder goes into other hands, and secrets should not.',
            left.join(', ')
          );
    this._changes.now();
  }

  /** Rejects with the refusal. */
  async forget(name: string): Promise<void> {
    await this._store(this._samples.filter(each => each.name !== name));
    this._chosen = null;
    this._note = null;
    this._changes.now();
  }

  /** Resolves when the answer has ended; never rejects. */
  async send(): Promise<void> {
    const { request, wrong } = checked(this._typed, this.services.trans);
    if (Object.keys(wrong).length > 0 || this._abort !== null) {
      return;
    }
    const abort = (this._abort = new AbortController());
    const began = performance.now();
    this._answer = null;
    this._problem = null;
    this._changes.now();
    let outcome: Answer['outcome'] = 'whole';
    try {
      const answer = await this.services.api.call(this.key, request, abort.signal);
      await this._read(answer);
    } catch (error) {
      outcome = abort.signal.aborted ? 'stopped' : 'broken';
      if (outcome === 'broken') {
        this._problem = error instanceof ApiError ? error.message : this._brokenWords;
      }
    }
    this._end(outcome, performance.now() - began);
  }

  stop(): void {
    this._abort?.abort();
  }

  private async _read(answer: CallAnswer): Promise<void> {
    const { status, statusText, headers, headersMs } = answer;
    const shown: Answer = {
      ...{ status, statusText, headers, headersMs },
      firstByteMs: null,
      totalMs: null,
      text: '',
      size: answer.isText ? null : 0,
      length: 0,
      outcome: 'coming'
    };
    this._answer = shown;
    this._changes.now();
    let drawn = performance.now();
    for await (const piece of answer.body) {
      shown.size = answer.isText ? null : answer.size;
      shown.length += piece.length;
      shown.text += piece.slice(0, Math.max(0, MOST - shown.text.length));
      const first = shown.firstByteMs === null;
      shown.firstByteMs = answer.firstByteMs;
      this._answer = { ...shown };
      if (first || performance.now() - drawn >= EACH) {
        drawn = performance.now();
        this._changes.now();
      } else {
        this._later ??= setTimeout(() => {
          this._later = undefined;
          this._changes.now();
        }, EACH);
      }
    }
  }

  private _end(outcome: Answer['outcome'], totalMs: number): void {
    clearTimeout(this._later);
    this._later = undefined;
    this._abort = null;
    if (this._answer !== null) {
      this._answer = { ...this._answer, outcome, totalMs };
    } else if (outcome === 'stopped') {
      this._problem = this.services.trans.__('Stopped before there was an answer.');
    }
    if (!this._disposed) {
      this._changes.now();
    }
  }

  private get _brokenWords(): string {
    return this.services.trans.__('The connection broke before the answer had ended.');
  }

  private async _store(samples: SampleRequest[]): Promise<void> {
    this._samples = await this.services.api.keepRequests(this._path ?? '', samples);
  }

  private _onServices(): void {
    this._changes.soon();
  }

  private readonly _changes = new Changes<this>(this);
  private _found: Service | null = null;
  private _typed: Typed;
  private _touched = false;
  private _path: string | null = null;
  private _samples: readonly SampleRequest[] = [];
  private _chosen: string | null = null;
  private _note: string | null = null;
  private _answer: Answer | null = null;
  private _problem: string | null = null;
  private _abort: AbortController | null = null;
  private _later: ReturnType<typeof setTimeout> | undefined;
  private _disposed = false;
}
