/** A registry whose data the test pushes. */
import type { Discovery, Endpoint } from "../../src/index.ts";

export class PushedDiscovery implements Discovery {
  /** How often it was asked to watch: more than once means that a watch was given up. */
  watches = 0;
  isWatched = false;
  #snapshots: (readonly Endpoint[])[];
  #wake: () => void = () => {};

  constructor(snapshot: readonly Endpoint[]) {
    this.#snapshots = [snapshot];
  }

  push(snapshot: readonly Endpoint[]): void {
    this.#snapshots.push(snapshot);
    this.#wake();
  }

  async *watch({ signal }: { readonly signal: AbortSignal }): AsyncGenerator<readonly Endpoint[]> {
    this.watches++;
    this.isWatched = true;
    signal.addEventListener("abort", () => this.#wake());
    try {
      while (!signal.aborted) {
        const snapshot = this.#snapshots.shift();
        if (snapshot !== undefined) yield snapshot;
        else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
    } finally {
      this.isWatched = false;
    }
  }
}
