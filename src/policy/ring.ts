/**
 * A hash ring: each node has points on a circle of 2^32 places, and a key belongs to the next point from its hash on.
 *
 * D. Karger et al., "Consistent Hashing and Random Trees", 1997. Where a node's points are depends on its address
 * alone, and how many there are on its weight, not on how many other nodes there are: so one node more or less moves
 * its own keys and no others. (Envoy divides a number of points among all nodes, and moves the others' keys as well.)
 */
import type { Node } from "../core/node.ts";
import { hashString, mix } from "./hash.ts";
import { fullWeights, type HashTable, type TableBuild, type TableMaker } from "./hash-table.ts";
import { SlicedSort } from "./sliced-sort.ts";
import { TableMemory } from "./table-memory.ts";

/** How often each point is looked at: made, counted, placed, sorted, taken over. */
const stepsForEach = 5;

class Ring implements HashTable {
  readonly nodes: readonly Node[];
  readonly weights: Float64Array;
  readonly owners: Uint32Array<ArrayBuffer>;
  /** The points in order. */
  readonly #points: Uint32Array<ArrayBuffer>;
  readonly #starts: Uint32Array<ArrayBuffer>;
  readonly #shift: number;

  constructor(
    nodes: readonly Node[],
    weights: Float64Array,
    points: Uint32Array<ArrayBuffer>,
    owners: Uint32Array<ArrayBuffer>,
    { starts, shift }: SlicedSort,
  ) {
    this.nodes = nodes;
    this.weights = weights;
    this.owners = owners;
    this.#points = points;
    this.#starts = starts;
    this.#shift = shift;
  }

  /** What a later ring can be made in, once nobody reads this one any more. */
  get arrays(): readonly Uint32Array<ArrayBuffer>[] {
    return [this.#points, this.owners, this.#starts];
  }

  locate(hash: number): number {
    const points = this.#points;
    const target = hash >>> 0;
    let place = this.#starts[target >>> this.#shift] as number;
    while (place < points.length && (points[place] as number) < target) place++;
    return place === points.length ? 0 : place;
  }

  next(place: number): number {
    return place + 1 === this.owners.length ? 0 : place + 1;
  }
}

/**
 * How rings are made.
 *
 * @param pointsPerNode for a node of the usual weight.
 * @param maxPoints of all nodes together; each has at least one, though.
 */
export function ringMaker(pointsPerNode: number, maxPoints: number): TableMaker {
  const memory = new TableMemory();
  return {
    steps: (nodes) => stepsForEach * Math.min(maxPoints, nodes * pointsPerNode),
    start: (nodes) => new RingBuild(nodes, pointsPerNode, maxPoints, memory),
    recycle: (table) => {
      if (table instanceof Ring) for (const array of table.arrays) memory.give(array);
    },
  };
}

class RingBuild implements TableBuild {
  readonly nodes: readonly Node[];
  readonly #weights: Float64Array;
  /** How many points each node has. */
  #counts: Uint32Array | undefined;
  /** All points as they are made, and whose they are. */
  #hashes: Uint32Array<ArrayBuffer> = new Uint32Array(0);
  #hashOwners: Uint32Array<ArrayBuffer> = new Uint32Array(0);
  #made = 0;
  #node = 0;
  #sort: SlicedSort | undefined;
  #isSorted = false;
  #points: Uint32Array<ArrayBuffer> = new Uint32Array(0);
  #taken = 0;

  readonly #pointsPerNode: number;
  readonly #maxPoints: number;
  readonly #memory: TableMemory;

  constructor(nodes: readonly Node[], pointsPerNode: number, maxPoints: number, memory: TableMemory) {
    this.#memory = memory;
    this.nodes = nodes;
    this.#weights = fullWeights(nodes);
    this.#pointsPerNode = pointsPerNode;
    this.#maxPoints = maxPoints;
  }

  advance(steps: number): HashTable | undefined {
    let left = steps;
    if (this.#counts === undefined) {
      this.#counts = countPoints(this.#weights, this.#pointsPerNode, this.#maxPoints);
      const total = this.#counts.reduce((sum, count) => sum + count, 0);
      this.#hashes = this.#memory.take(total);
      this.#hashOwners = this.#memory.take(total);
      left -= this.nodes.length;
    }
    if (this.#node < this.nodes.length) left -= this.#make(this.#counts, left);
    if (left <= 0) return undefined;
    this.#sort ??= new SlicedSort(
      this.#hashes,
      (one, other) => this.#isBefore(one, other),
      (length) => this.#memory.take(length),
    );
    if (!this.#isSorted) {
      const taken = this.#sort.advance(left);
      this.#isSorted = taken < left;
      left -= taken;
    }
    if (left <= 0) return undefined;
    return this.#takeOver(this.#sort, left);
  }

  /** Makes the points of the next nodes. */
  #make(counts: Uint32Array, steps: number): number {
    const start = this.#made;
    while (this.#node < this.nodes.length && this.#made - start < steps) {
      const { key } = this.nodes[this.#node] as Node;
      const first = hashString(key);
      // Odd, so that it takes 2^32 points to come round; of two nodes with the same first point few others coincide.
      const stride = hashString(key, 1) | 1;
      let point = first;
      for (let left = counts[this.#node] as number; left > 0; left--) {
        this.#hashes[this.#made] = mix(point);
        this.#hashOwners[this.#made++] = this.#node;
        point = (point + stride) | 0;
      }
      this.#node++;
    }
    return this.#made - start;
  }

  #isBefore(one: number, other: number): boolean {
    const { nodes } = this;
    const owners = this.#hashOwners;
    return (nodes[owners[one] as number] as Node).key < (nodes[owners[other] as number] as Node).key;
  }

  #takeOver(sort: SlicedSort, steps: number): HashTable | undefined {
    const { order } = sort;
    if (this.#taken === 0) this.#points = this.#memory.take(order.length);
    const stop = Math.min(order.length, this.#taken + steps);
    for (let place = this.#taken; place < stop; place++) {
      const made = order[place] as number;
      this.#points[place] = this.#hashes[made] as number;
      // In place: garbage of megabytes makes the collector stop the loop for longer than a slice does.
      order[place] = this.#hashOwners[made] as number;
    }
    this.#taken = stop;
    if (stop < order.length) return undefined;
    this.#memory.give(this.#hashes);
    this.#memory.give(this.#hashOwners);
    return new Ring(this.nodes, this.#weights, this.#points, order, sort);
  }
}

/**
 * Points in proportion to weight. The unit of weight is the power of two next to the median: the same for all
 * clients, and the same before and after nodes come and go, except where the middle of the weights itself moves.
 */
function countPoints(weights: Float64Array, pointsPerNode: number, maxPoints: number): Uint32Array {
  const median = weights.slice().sort()[weights.length >> 1] as number;
  // Half of the weights may have become 0 since the set was asked for, and weights may be next to nothing.
  const unit = median > 0 ? 2 ** Math.round(Math.log2(median)) : 1;
  const counts = new Uint32Array(weights.length);
  for (let density = Math.min(Number.MAX_VALUE, pointsPerNode / unit); ; density /= 2) {
    let total = 0;
    for (const [index, weight] of weights.entries()) {
      const count = Math.max(1, Math.round(density * weight));
      counts[index] = Math.min(count, maxPoints);
      total += count;
    }
    if (total <= Math.max(maxPoints, weights.length)) return counts;
  }
}
