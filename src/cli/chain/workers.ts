/** The workers of one process: so many requests at once, each for a while; further ones wait in line. */
import type { LayerBehaviour } from "./messages.ts";

interface Waiting {
  readonly finished: () => void;
  /** Aborted when nobody waits for it any more. */
  readonly signal: AbortSignal | undefined;
}

export class Workers {
  behaviour: LayerBehaviour;
  done = 0;
  /** How long all of the work took that is done. Timers are late on a busy machine: this is what it can do really. */
  doneMs = 0;
  #busy = 0;
  readonly #line: Waiting[] = [];

  constructor(behaviour: LayerBehaviour) {
    this.behaviour = behaviour;
  }

  /** Resolves when a worker was free and has done the work, or when its turn came and the signal was aborted. */
  work(signal: AbortSignal | undefined): Promise<void> {
    if (this.behaviour.workMs === 0) return Promise.resolve();
    return new Promise((finished) => {
      this.#line.push({ finished, signal });
      this.#next();
    });
  }

  /** The line moves on, if a worker is free: there may be fewer than before. */
  #next(): void {
    while (this.#busy < this.behaviour.workers) {
      const waiting = this.#line.shift();
      if (waiting === undefined) return;
      if (waiting.signal?.aborted === true) waiting.finished();
      else this.#begin(waiting);
    }
  }

  #begin({ finished }: Waiting): void {
    this.#busy++;
    const startedAt = performance.now();
    setTimeout(() => {
      this.#busy--;
      this.done++;
      this.doneMs += performance.now() - startedAt;
      finished();
      this.#next();
    }, this.behaviour.workMs);
  }
}
