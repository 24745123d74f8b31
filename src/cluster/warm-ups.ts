/**
 * The nodes that work up to their full weight, and what each one's weight is now: those that joined while others
 * served, and those whose check failed, as they were restarted most likely and are as cold.
 */
import type { Node } from "../core/node.ts";
import { warmUpShare } from "../health/warm-up.ts";

export class WarmUps {
  readonly #warmUpMs: number;
  readonly #warming: Set<Node> = new Set();
  /** Their check failed since they last served. */
  readonly #cold: Set<Node> = new Set();

  /** @param warmUpMs 0 for none. */
  constructor(warmUpMs: number) {
    this.#warmUpMs = warmUpMs;
  }

  /** The node starts from the least share now. `reason` is why it has to, for people. */
  start(node: Node, reason: string, now: number): void {
    if (this.#warmUpMs === 0) return;
    node.warmUntil = now + this.#warmUpMs;
    node.warmUpReason = reason;
    this.#warming.add(node);
    this.setWeight(node, now);
  }

  /** The node's check fails: it has to warm up when it is back. */
  checkFailed(node: Node): void {
    this.#cold.add(node);
  }

  /** The node serves again. */
  returned(node: Node, now: number): void {
    if (!this.#cold.delete(node)) return;
    node.fresh = true;
    this.start(node, "came back lately", now);
  }

  setWeight(node: Node, now: number): void {
    const leftMs = node.warmUntil - now;
    const share = leftMs > 0 ? warmUpShare(this.#warmUpMs - leftMs, this.#warmUpMs) : 1;
    node.weight = node.endpoint.weight * share;
  }

  /** Lets weights grow. @param onWarm told of each node that has its full weight from now on. */
  refresh(now: number, onWarm: (node: Node) => void): void {
    for (const node of this.#warming) {
      this.setWeight(node, now);
      if (node.warmUntil > now) continue;
      this.#warming.delete(node);
      onWarm(node);
    }
  }

  forget(node: Node): void {
    this.#warming.delete(node);
    this.#cold.delete(node);
  }
}
