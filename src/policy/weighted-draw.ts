/**
 * Draws nodes at random in proportion to their weight, none twice, in constant time however many there are.
 *
 * Equal weights need one random number a draw. Unequal ones go through an alias table (A. J. Walker, 1977, built
 * as by M. D. Vose, 1991), made once for each set. The table knows the full weights; a node that carries less
 * for now, because it warms up, is rejected in proportion, so that each draw obeys the weights of its moment.
 */
import type { Node } from "../core/node.ts";
import type { Random } from "../core/random.ts";

/**
 * Rejections after which a draw gives up. Drawing 16 of 65 equal nodes, one draw meets a node it already has
 * with a probability of at most 15/65: 16 times in a row happens once in 10^10 draws.
 */
const mostRejections = 16;

/**
 * @example
 * const draw = new WeightedDraw(nodes, random);
 * draw.begin();
 * const first = draw.next([]);
 * const second = draw.next([]); // another node, or -1
 */
export class WeightedDraw {
  readonly #nodes: readonly Node[];
  readonly #random: Random;
  /** The most that each node weighs, warm-up aside. */
  readonly #fullWeights: Float64Array;
  /** The alias table: a spot in the upper part of a column belongs to the column's alias. Empty if all equal. */
  readonly #lowerParts: Float64Array;
  readonly #aliases: Int32Array;
  readonly #isEven: boolean;
  /** The round in which each node was last drawn. */
  readonly #drawnIn: Int32Array;
  #round = 0;

  constructor(nodes: readonly Node[], random: Random) {
    const count = nodes.length;
    this.#nodes = nodes;
    this.#random = random;
    this.#fullWeights = new Float64Array(count);
    let isEven = true;
    for (let index = 0; index < count; index++) {
      const node = nodes[index] as Node;
      this.#fullWeights[index] = Math.max(node.weight, node.endpoint.weight);
      if (this.#fullWeights[index] !== this.#fullWeights[0]) isEven = false;
    }
    this.#isEven = isEven;
    this.#lowerParts = new Float64Array(isEven ? 0 : count);
    this.#aliases = new Int32Array(isEven ? 0 : count);
    this.#drawnIn = new Int32Array(count);
    if (!isEven) fillAliasTable(this.#fullWeights, this.#lowerParts, this.#aliases);
  }

  /** Puts all nodes back. */
  begin(): void {
    if (this.#round === 0x7fffffff) {
      this.#drawnIn.fill(0);
      this.#round = 0;
    }
    this.#round++;
  }

  /**
   * The index of a node that was neither drawn since `begin()` nor tried; -1 when chance did not find one soon,
   * as when few nodes are left or one holds nearly all the weight.
   */
  next(tried: readonly Node[]): number {
    const count = this.#nodes.length;
    for (let rejections = 0; rejections < mostRejections; rejections++) {
      const spot = this.#random() * count;
      let index = Math.floor(spot);
      if (!this.#isEven && spot - index >= (this.#lowerParts[index] as number)) {
        index = this.#aliases[index] as number;
      }
      if (this.#drawnIn[index] === this.#round) continue;
      const node = this.#nodes[index] as Node;
      const fullWeight = this.#fullWeights[this.#isEven ? 0 : index] as number;
      if (node.weight < fullWeight && this.#random() * fullWeight >= node.weight) continue;
      if (tried.length !== 0 && tried.includes(node)) continue;
      this.#drawnIn[index] = this.#round;
      return index;
    }
    return -1;
  }

  /** As `next`, in time that grows with the set; -1 only when no node is left. */
  nextByScan(tried: readonly Node[]): number {
    let total = 0;
    for (let index = 0; index < this.#nodes.length; index++) {
      if (this.#isLeft(index, tried)) total += (this.#nodes[index] as Node).weight;
    }
    let rest = this.#random() * total;
    let found = -1;
    for (let index = 0; index < this.#nodes.length && rest >= 0; index++) {
      if (!this.#isLeft(index, tried)) continue;
      found = index;
      rest -= (this.#nodes[index] as Node).weight;
    }
    if (found >= 0) this.#drawnIn[found] = this.#round;
    return found;
  }

  #isLeft(index: number, tried: readonly Node[]): boolean {
    if (this.#drawnIn[index] === this.#round) return false;
    return tried.length === 0 || !tried.includes(this.#nodes[index] as Node);
  }
}

/**
 * Vose's construction: each column holds a part of its own node, and the rest, up to the mean weight, of one
 * heavier node. Columns still to be settled are kept in one array, light ones from the left, heavy ones from
 * the right.
 */
function fillAliasTable(weights: Float64Array, lowerParts: Float64Array, aliases: Int32Array): void {
  const count = weights.length;
  let total = 0;
  for (const weight of weights) total += weight;
  const pending = new Int32Array(count);
  let lights = 0;
  let heavies = count;
  for (let index = 0; index < count; index++) {
    const part = ((weights[index] as number) * count) / total;
    lowerParts[index] = part;
    aliases[index] = index;
    if (part < 1) pending[lights++] = index;
    else pending[--heavies] = index;
  }
  while (lights > 0 && heavies < count) {
    const light = pending[--lights] as number;
    const heavy = pending[heavies] as number;
    aliases[light] = heavy;
    const left = (lowerParts[heavy] as number) - (1 - (lowerParts[light] as number));
    lowerParts[heavy] = left;
    if (left < 1) {
      heavies++;
      pending[lights++] = heavy;
    }
  }
  // What rounding leaves over is a full column.
  while (lights > 0) lowerParts[pending[--lights] as number] = 1;
}
