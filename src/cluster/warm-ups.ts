/** The nodes that work up to their full weight, and what each one's weight is now. */
import type { Node } from "../core/node.ts";
import { warmUpShare } from "../health/warm-up.ts";

export class WarmUps {
  readonly #warmUpMs: number;
  readonly #warming: Set<Node> = new Set();

  /** @param warmUpMs 0 for none. */
  constructor(warmUpMs: number) {
    this.#warmUpMs = warmUpMs;
  }

  /** The node starts from the least share now. */
  start(node: Node, now: number): void {
    if (this.#warmUpMs === 0) return;
    node.warmUntil = now + this.#warmUpMs;
    this.#warming.add(node);
    this.setWeight(node, now);
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
  }
}
