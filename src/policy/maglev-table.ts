/**
 * Maglev's lookup table: a prime number of places, which the nodes fill in turns, each in an order of its own.
 *
 * D. Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", 2016, 3.4. Each node's share of
 * the table is exact to one place. Weights are as in Envoy (`maglev_lb.cc`): in the heaviest node's `t`th turn a
 * node of half the weight takes part if `t` is even. Here each node waits in the queue of the round in which its
 * next turn is due, so the work does not grow with the range of the weights. All nodes have a turn in the first
 * round: with fewer nodes than places none is left out.
 */
import type { Node } from "../core/node.ts";
import { hashString, mix } from "./hash.ts";
import { fullWeights, type HashTable, type TableBuild, type TableMaker } from "./hash-table.ts";
import { SlicedSort } from "./sliced-sort.ts";

const nobody = 0xffffffff;
/** Looking for a free place takes n tries a place for few nodes, and about ln(65,537) = 11 for many. */
const mostTries = 11;

class MaglevTable implements HashTable {
  readonly nodes: readonly Node[];
  readonly weights: Float64Array;
  readonly owners: Uint32Array;

  constructor(nodes: readonly Node[], weights: Float64Array, owners: Uint32Array) {
    this.nodes = nodes;
    this.weights = weights;
    this.owners = owners;
  }

  locate(hash: number): number {
    return scale(hash, this.owners.length);
  }

  /**
   * Goes through the table in steps of the key's own, which reach every place of a prime number of them. With steps
   * of one, the calls that leave a node would not be even over the others: places lie in regular patterns.
   */
  next(place: number, hash: number): number {
    const size = this.owners.length;
    const next = place + 1 + scale(mix(hash), size - 1);
    return next < size ? next : next - size;
  }
}

/** From a hash to an integer below `size`, the high bits first. */
function scale(hash: number, size: number): number {
  return Math.floor(((hash >>> 0) / 0x1_0000_0000) * size);
}

/** How Maglev tables are made. @param size a prime. */
export function maglevMaker(size: number): TableMaker {
  return {
    // A try takes half as long as a step of a ring.
    steps: (nodes) => (size * Math.min(nodes, mostTries)) / 2 + 4 * nodes,
    start: (nodes) => new MaglevBuild(nodes, size),
  };
}

class MaglevBuild implements TableBuild {
  readonly nodes: readonly Node[];
  readonly #weights: Float64Array;
  readonly #maxWeight: number;
  readonly #owners: Uint32Array;
  #filled = 0;
  /** The order of turns, the same in every client. */
  readonly #hashes: Uint32Array;
  #hashed = 0;
  #sort: SlicedSort | undefined;
  #isQueued = false;
  /** Each node's next place to try, and how far it goes from one to the next. */
  readonly #places: Uint32Array;
  readonly #strides: Uint32Array;
  readonly #turns: Uint32Array;
  /** The queues of the rounds: first and last node of each, and who is behind whom. -1 is nobody. */
  readonly #firsts: Int32Array;
  readonly #lasts: Int32Array;
  readonly #behind: Int32Array;
  #round = 1;

  constructor(nodes: readonly Node[], size: number) {
    const count = nodes.length;
    this.nodes = nodes;
    this.#weights = fullWeights(nodes);
    this.#maxWeight = this.#weights.reduce((most, weight) => Math.max(most, weight), 0);
    this.#owners = new Uint32Array(size).fill(nobody);
    this.#hashes = new Uint32Array(count);
    this.#places = new Uint32Array(count);
    this.#strides = new Uint32Array(count);
    this.#turns = new Uint32Array(count);
    // The heaviest node has a turn in each round, so there are no more rounds than places.
    this.#firsts = new Int32Array(size + 2).fill(-1);
    this.#lasts = new Int32Array(size + 2).fill(-1);
    this.#behind = new Int32Array(count).fill(-1);
  }

  advance(steps: number): HashTable | undefined {
    let left = steps;
    left -= this.#hash(left);
    if (left <= 0) return undefined;
    this.#sort ??= new SlicedSort(this.#hashes, (one, other) => this.#isBefore(one, other));
    if (!this.#isQueued) {
      const taken = this.#sort.advance(left);
      if (taken === left) return undefined;
      for (const index of this.#sort.order) this.#queue(index, 1);
      this.#isQueued = true;
      left -= taken + this.nodes.length;
    }
    this.#fill(left);
    if (this.#filled < this.#owners.length) return undefined;
    return new MaglevTable(this.nodes, this.#weights, this.#owners);
  }

  #hash(steps: number): number {
    const start = this.#hashed;
    const size = this.#owners.length;
    // A hash of an address takes about as long as eight tries.
    const stop = Math.min(this.nodes.length, start + Math.ceil(steps / 8));
    for (let index = start; index < stop; index++) {
      const { key } = this.nodes[index] as Node;
      const first = hashString(key);
      const second = hashString(key, 1);
      this.#hashes[index] = first;
      this.#places[index] = (mix(first ^ 0x5bd1e995) >>> 0) % size;
      this.#strides[index] = ((second >>> 0) % (size - 1)) + 1;
    }
    this.#hashed = stop;
    return 8 * (stop - start);
  }

  #isBefore(one: number, other: number): boolean {
    return (this.nodes[one] as Node).key < (this.nodes[other] as Node).key;
  }

  #queue(index: number, round: number): void {
    if (round >= this.#firsts.length) return;
    const last = this.#lasts[round] as number;
    if (last < 0) this.#firsts[round] = index;
    else this.#behind[last] = index;
    this.#lasts[round] = index;
    this.#behind[index] = -1;
  }

  /** Gives nodes their turns until `steps` places were tried. */
  #fill(steps: number): void {
    const owners = this.#owners;
    const size = owners.length;
    let left = steps;
    while (left > 0 && this.#filled < size) {
      const index = this.#firsts[this.#round] as number;
      if (index < 0) {
        this.#round++;
        continue;
      }
      const stride = this.#strides[index] as number;
      let place = this.#places[index] as number;
      while (left > 0 && owners[place] !== nobody) {
        place = place + stride < size ? place + stride : place + stride - size;
        left--;
      }
      this.#places[index] = place;
      // Its turn goes on in the next slice.
      if (owners[place] !== nobody) return;
      owners[place] = index;
      left--;
      this.#filled++;
      this.#firsts[this.#round] = this.#behind[index] as number;
      const turns = (this.#turns[index] as number) + 1;
      this.#turns[index] = turns;
      const due = Math.ceil((turns * this.#maxWeight) / (this.#weights[index] as number));
      this.#queue(index, Math.max(this.#round + 1, due));
    }
  }
}
