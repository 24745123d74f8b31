/**
 * Rendezvous hashing: of all nodes the one whose hash together with the key is the best.
 *
 * D. Thaler and C. Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998. It needs no table and
 * looks at every node: for a large set while its first table is made, and for calls that have no place to go by the
 * table. By weight as C. Schindelhauer and G. Schomaker, "Weighted Distributed Hash Tables", 2005: the least of
 * -ln(u) / weight wins.
 */
import type { Node } from "../core/node.ts";
import { hashString, mix } from "./hash.ts";
import type { LoadBound } from "./load-bound.ts";

export class Rendezvous {
  readonly #nodes: readonly Node[];
  readonly #hashes: Int32Array;

  constructor(nodes: readonly Node[]) {
    this.#nodes = nodes;
    this.#hashes = new Int32Array(nodes.length);
    for (const [index, node] of nodes.entries()) this.#hashes[index] = hashString(node.key);
  }

  /** The best untried node that is not full; if all are full the best untried one; if all were tried none. */
  pick(hash: number, tried: readonly Node[], bound: LoadBound): Node | undefined {
    let best: Node | undefined;
    let least = Number.POSITIVE_INFINITY;
    let isBestFull = true;
    for (let index = 0; index < this.#nodes.length; index++) {
      const node = this.#nodes[index] as Node;
      const isFull = bound.isFull(node);
      if (isFull && !isBestFull) continue;
      const distance = -Math.log(unit(hash ^ (this.#hashes[index] as number))) / node.weight;
      if (isFull === isBestFull && !isCloser(distance, node, least, best)) continue;
      if (tried.length !== 0 && tried.includes(node)) continue;
      best = node;
      least = distance;
      isBestFull = isFull;
    }
    return best;
  }
}

/** A uniform number in (0, 1) that depends on the argument alone. */
export function unit(hash: number): number {
  return ((mix(hash) >>> 0) + 0.5) / 0x1_0000_0000;
}

function isCloser(distance: number, node: Node, least: number, best: Node | undefined): boolean {
  return distance < least || (distance === least && (best === undefined || node.key < best.key));
}
