/**
 * Which nodes have all the calls they may have, when none may have more than a factor above its fair share.
 *
 * The fair share needs the calls in flight at all nodes together. Adding them up for each pick would cost more than
 * the pick, so each node's last count is kept, and each pick reads a few nodes anew, in turn. Up to `readAtOnce`
 * nodes the sum is exact. Above that it is as old as the last round, which matters little: the bound of a node only
 * rises above one call once there are nearly as many calls in flight as nodes, many times what changes in a round.
 */
import type { Node } from "../core/node.ts";

/** How many nodes each pick reads: as many as cost no more than finding the node does. */
const readAtOnce = 8;

export class LoadBound {
  readonly #nodes: readonly Node[];
  readonly #factor: number;
  readonly #inflight: Float64Array;
  readonly #weights: Float64Array;
  #totalInflight = 0;
  #totalWeight = 0;
  #next = 0;
  /** How many calls a node may have for each unit of its weight. */
  #perWeight = 0;

  /** @param factor at least 1; Infinity sets no bound. */
  constructor(nodes: readonly Node[], factor: number) {
    this.#nodes = nodes;
    this.#factor = factor;
    const count = factor === Number.POSITIVE_INFINITY ? 0 : nodes.length;
    this.#inflight = new Float64Array(count);
    this.#weights = new Float64Array(count);
    for (let index = 0; index < count; index++) this.#read(index);
  }

  /** Before the nodes of a pick are asked for. */
  refresh(): void {
    const count = this.#inflight.length;
    if (count === 0) return;
    let index = this.#next;
    for (let left = Math.min(readAtOnce, count); left > 0; left--) {
      this.#read(index);
      index = index + 1 === count ? 0 : index + 1;
    }
    this.#next = index;
    this.#perWeight = (this.#factor * (this.#totalInflight + 1)) / this.#totalWeight;
  }

  /**
   * Whether one more call would take the node over its bound, ceil(factor * (total + 1) * weight / total weight).
   * The call itself is counted in the total, as in the paper, so that there is always room at some node.
   */
  isFull(node: Node): boolean {
    // For an integer, "plus 1 is at most the ceiling of x" is "less than x".
    return this.#inflight.length !== 0 && node.inflight >= this.#perWeight * node.weight;
  }

  #read(index: number): void {
    const { inflight, weight } = this.#nodes[index] as Node;
    this.#totalInflight += inflight - (this.#inflight[index] as number);
    this.#totalWeight += weight - (this.#weights[index] as number);
    this.#inflight[index] = inflight;
    this.#weights[index] = weight;
  }
}
