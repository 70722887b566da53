/** One dry run at a time: the folder's server started beside the notebook, called once, and stopped again. */
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { Api, ApiError, DryRunAnswer, DryRunEvent, DryRunPhase, SampleRequest } from '../api';
import { Changes } from './changes';

const MOST_LINES = 1000;

export class DryRunModel implements IDisposable {
  constructor(private readonly _api: Pick<Api, 'startDryRun' | 'dryRun' | 'stopDryRun'>) {}

  get changed(): ISignal<this, void> {
    return this._changes.signal;
  }

  /** The last one that was told; null before. */
  get phase(): DryRunPhase['phase'] | null {
    return this._phases[this._phases.length - 1]?.phase ?? null;
  }

  get phases(): readonly DryRunPhase[] {
    return this._phases;
  }

  /** What is being done, or what came of it, in words. */
  get sentence(): string {
    return this._sentence;
  }

  /** The last lines that the server printed. */
  get log(): readonly string[] {
    return this._log;
  }

  /** What came of the sample call; null before. */
  get answer(): DryRunAnswer | null {
    return this._answer;
  }

  /** Null before the first one. */
  get outcome(): 'running' | 'passed' | 'failed' | 'stopped' | null {
    return this._outcome;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  dispose(): void {
    if (!this._disposed) {
      this._disposed = true;
      void this.stop();
      this._changes.dispose();
      Signal.clearData(this);
    }
  }

  /** Resolves when it has ended; never rejects: what went wrong is the `sentence`. */
  async start(path: string, request: SampleRequest | null = null): Promise<void> {
    await this.stop();
    const abort = (this._abort = new AbortController());
    this._phases = [];
    this._log = [];
    this._answer = null;
    this._outcome = 'running';
    this._sentence = '';
    this._changes.now();
    try {
      const id = await this._api.startDryRun({ path, request });
      if (abort.signal.aborted) {
        await this._api.stopDryRun(id);
        return;
      }
      this._id = id;
      for await (const event of this._api.dryRun(id, abort.signal)) {
        this._take(event);
        this._changes.soon();
      }
      if (this._outcome === 'running' && !abort.signal.aborted) {
        this._outcome = 'failed';
      }
    } catch (error) {
      if (!abort.signal.aborted) {
        this._outcome = 'failed';
        this._sentence = error instanceof ApiError ? error.message : String(error);
      }
    } finally {
      if (this._abort === abort) {
        this._abort = null;
        this._id = null;
      }
      if (!this._disposed) {
        this._changes.now();
      }
    }
  }

  /** Ends the server, too. Never rejects. */
  async stop(): Promise<void> {
    const id = this._id;
    this._abort?.abort();
    this._abort = null;
    this._id = null;
    if (this._outcome === 'running') {
      this._outcome = 'stopped';
    }
    if (id !== null) {
      await this._api.stopDryRun(id).catch(() => undefined);
    }
    if (!this._disposed) {
      this._changes.soon();
    }
  }

  private _take(event: DryRunEvent): void {
    switch (event.kind) {
      case 'phase':
        this._phases = [...this._phases, event.phase];
        this._sentence = event.phase.sentence;
        break;
      case 'log':
        this._log = [...this._log, ...event.log.lines].slice(-MOST_LINES);
        break;
      case 'answer':
        this._answer = event.answer;
        break;
      case 'outcome':
        this._outcome = event.outcome.outcome;
        this._sentence = event.outcome.sentence;
        break;
    }
  }

  private readonly _changes = new Changes<this>(this);
  private _phases: readonly DryRunPhase[] = [];
  private _sentence = '';
  private _log: readonly string[] = [];
  private _answer: DryRunAnswer | null = null;
  private _outcome: 'running' | 'passed' | 'failed' | 'stopped' | null = null;
  private _id: string | null = null;
  private _abort: AbortController | null = null;
  private _disposed = false;
}
