/** Which nodes the program has drained, and how long the last calls of removed ones may go on. */
import type { Clock, Timer } from "../core/clock.ts";
import type { Node } from "../core/node.ts";

export class Drains {
  readonly #clock: Clock;
  readonly #drainMs: number;
  readonly #over: (node: Node) => void;
  /** By the program; whether or not there is such a node now. */
  readonly #keys: Set<string> = new Set();
  readonly #timers: Map<Node, Timer> = new Map();

  /** @param over a removed node's time is up: its calls are cut. */
  constructor(clock: Clock, drainMs: number, over: (node: Node) => void) {
    this.#clock = clock;
    this.#drainMs = drainMs;
    this.#over = over;
  }

  has(key: string): boolean {
    return this.#keys.has(key);
  }

  set(key: string, drained: boolean): void {
    if (drained) this.#keys.add(key);
    else this.#keys.delete(key);
  }

  /** Gives the calls at a node that was just removed `drainMs`; unless it has come back until then. */
  limit(node: Node, removedAt: number): void {
    this.#timers.get(node)?.cancel();
    const timer = this.#clock.schedule(() => {
      this.#timers.delete(node);
      if (node.removedAt === removedAt) this.#over(node);
    }, this.#drainMs);
    this.#timers.set(node, timer);
  }

  /** The node is gone for good. */
  forget(node: Node): void {
    this.#timers.get(node)?.cancel();
    this.#timers.delete(node);
  }

  close(): void {
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }
}
