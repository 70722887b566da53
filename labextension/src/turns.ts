/** So many at once of what would take all of a browser's connections to a server: there are six over HTTP/1.1, for
 * notebooks, files and kernels, too. */
export class Turns {
  constructor(private readonly _most: number) {}

  /** @param later after those that wait and are not. */
  run<T>(
    work: () => Promise<T>,
    { signal, later = false }: { signal?: AbortSignal; later?: boolean } = {}
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        this._waiting.splice(this._waiting.indexOf(turn), 1);
        reject(signal?.reason);
      };
      const turn: Turn = {
        later,
        start: () => {
          signal?.removeEventListener('abort', leave);
          return work().then(resolve, reject);
        }
      };
      const first = later ? -1 : this._waiting.findIndex(each => each.later);
      this._waiting.splice(first < 0 ? this._waiting.length : first, 0, turn);
      signal?.addEventListener('abort', leave);
      if (signal?.aborted) {
        signal.removeEventListener('abort', leave);
        leave();
      }
      this._next();
    });
  }

  private _next(): void {
    while (this._running < this._most && this._waiting.length > 0) {
      this._running += 1;
      void this._waiting
        .shift()!
        .start()
        .finally(() => {
          this._running -= 1;
          this._next();
        });
    }
  }

  private readonly _waiting: Turn[] = [];
  private _running = 0;
}

interface Turn {
  later: boolean;
  start: () => Promise<void>;
}
