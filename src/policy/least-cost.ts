/**
 * Least cost, the default policy: one of the nodes that are about the cheapest, by chance.
 *
 * Why not just the cheapest? Each client sees only its own calls. With little in flight the bare minimum sends
 * nearly all calls to the node that happens to look best, from all clients at once: with five nodes, 20 calls a
 * second and one node 20% faster it gets 93% of them. So all nodes within a band above the least cost are
 * equally good, and weight decides between them.
 *
 * Up to 64 nodes all are compared. Above that 16 are drawn, so that a pick costs the same for 1,000 nodes and
 * for 100,000; two, as in "power of two choices", are too few when each client counts only its own calls.
 */
import type { CallInfo, Picker, Policy } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import { OptionReader } from "../core/option-reader.ts";
import type { Random } from "../core/random.ts";
import { readRandom } from "./chance.ts";
import { cost } from "./cost.ts";
import { sampledShares } from "./sampled-shares.ts";
import { type ExplainablePicker, sharesOf } from "./shares.ts";
import { WeightedDraw } from "./weighted-draw.ts";

/**
 * How far above the least cost a node is still as good: one standard deviation (0.23) of a node's latency, an
 * average with a gain of 0.1 over exponential samples (algorithms.md, "least cost").
 */
const band = 1.25;
/** Up to how many nodes all are compared, and how many are drawn above that (algorithms.md, "least cost"). */
const mostCompared = 64;
const drawn = 16;
/** The choices that a draw must offer even if it takes a scan: with one, load would not count at all. */
const fewestDrawn = 2;

export interface LeastCostOptions {
  /** The source of chance. Default: a generator of its own; tests seed it. */
  readonly random?: Random | undefined;
}

/**
 * Spreads calls by load, latency and failures; see `cost()` for the formula.
 *
 * @throws TypeError for an option that does not exist or is of the wrong type.
 * @example
 * const orders = new Cluster({ name: "orders", discovery: ["10.0.0.1:80", "10.0.0.2:80"], policy: leastCost() });
 */
export function leastCost(options: LeastCostOptions = {}): Policy {
  const reader = new OptionReader(options, "leastCost");
  const random = readRandom(reader);
  reader.end();
  return { name: "leastCost", build: (nodes): Picker => new LeastCostPicker(nodes, random) };
}

class LeastCostPicker implements ExplainablePicker {
  readonly #nodes: readonly Node[];
  readonly #random: Random;
  /** Only for sets too large to compare all. */
  readonly #draw: WeightedDraw | undefined;
  /** Room for one pick's candidates and their costs. */
  readonly #candidates: Int32Array;
  readonly #costs: Float64Array;

  constructor(nodes: readonly Node[], random: Random) {
    this.#nodes = nodes;
    this.#random = random;
    this.#draw = nodes.length > mostCompared ? new WeightedDraw(nodes, random) : undefined;
    const most = Math.min(nodes.length, mostCompared);
    this.#candidates = new Int32Array(most);
    this.#costs = new Float64Array(most);
  }

  pick(call: CallInfo): Node | undefined {
    const draw = this.#draw;
    const count = draw === undefined ? this.#takeAll(call.tried) : this.#drawSome(draw, call.tried);
    if (count === 0) return undefined;

    let least = Number.POSITIVE_INFINITY;
    let leastHeldBack = Number.POSITIVE_INFINITY;
    let heldBack = 0;
    for (let position = 0; position < count; position++) {
      const node = this.#nodes[this.#candidates[position] as number] as Node;
      const nodeCost = cost(node);
      this.#costs[position] = nodeCost;
      if (isHeldBack(node)) {
        heldBack++;
        if (nodeCost < leastHeldBack) leastHeldBack = nodeCost;
      } else if (nodeCost < least) least = nodeCost;
    }
    // A preference, never a refusal: when all are held back, all are candidates.
    const holdsBack = heldBack > 0 && heldBack < count;
    const limit = band * (heldBack === count ? leastHeldBack : least);

    let kept = 0;
    let total = 0;
    for (let position = 0; position < count; position++) {
      const index = this.#candidates[position] as number;
      const node = this.#nodes[index] as Node;
      if ((this.#costs[position] as number) > limit && !isUnknown(node)) continue;
      if (holdsBack && isHeldBack(node)) continue;
      // Drawn in proportion to weight, so that the first of a draw is a draw in proportion to weight itself.
      if (draw !== undefined) return node;
      this.#candidates[kept++] = index;
      total += node.weight;
    }
    return this.#byWeight(kept, total);
  }

  /**
   * Exact up to 64 nodes. Above that the 16 draws are taken as independent, although no node is drawn twice,
   * and nodes held back as never drawn: off by about one part in (nodes / 16).
   */
  shares(call: CallInfo): ReadonlyMap<Node, number> {
    const parts = new Float64Array(this.#nodes.length);
    const costs = new Float64Array(this.#nodes.length);
    const untried = this.#nodes.filter((node) => !call.tried.includes(node));
    const allHeldBack = untried.every(isHeldBack);
    let least = Number.POSITIVE_INFINITY;
    for (const [index, node] of this.#nodes.entries()) {
      costs[index] = cost(node);
      if (call.tried.includes(node) || (isHeldBack(node) && !allHeldBack)) continue;
      parts[index] = node.weight;
      least = Math.min(least, costs[index] as number);
    }
    if (this.#draw !== undefined) return sharesOf(this.#nodes, sampledShares(costs, parts, drawn, band));
    const isCheap = (index: number): boolean =>
      (costs[index] as number) <= band * least || isUnknown(this.#nodes[index] as Node);
    const cheap = parts.map((part, index) => (isCheap(index) ? part : 0));
    return sharesOf(this.#nodes, cheap);
  }

  #takeAll(tried: readonly Node[]): number {
    let count = 0;
    for (let index = 0; index < this.#nodes.length; index++) {
      if (tried.length !== 0 && tried.includes(this.#nodes[index] as Node)) continue;
      this.#candidates[count++] = index;
    }
    return count;
  }

  #drawSome(draw: WeightedDraw, tried: readonly Node[]): number {
    draw.begin();
    let count = 0;
    while (count < drawn) {
      let index = draw.next(tried);
      if (index < 0 && count < fewestDrawn) index = draw.nextByScan(tried);
      if (index < 0) break;
      this.#candidates[count++] = index;
    }
    return count;
  }

  #byWeight(count: number, total: number): Node | undefined {
    let rest = this.#random() * total;
    let node: Node | undefined;
    for (let position = 0; position < count && rest >= 0; position++) {
      node = this.#nodes[this.#candidates[position] as number] as Node;
      rest -= node.weight;
    }
    return node;
  }
}

/**
 * A node that nothing is known of costs what the average one does, which the best of the others, by chance, nearly
 * always undercut by more than the band: it would not be called for seconds. Its weight, small while it warms up, is
 * what bounds how often it is tried.
 */
function isUnknown(node: Node): boolean {
  return node.fresh && node.inflight === 0 && node.failureRate === 0;
}

/** A node that has yet to give its first good answer is not sent a second call meanwhile, if others can. */
function isHeldBack(node: Node): boolean {
  return node.fresh && node.inflight > 0;
}
