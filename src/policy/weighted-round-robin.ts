/**
 * Smooth weighted round robin: each node in turn, heavier ones more often, but spread out, never in a burst.
 *
 * nginx's algorithm (`ngx_http_upstream_round_robin.c`): each pick adds every node's weight to its current
 * value, takes the largest, and takes the sum of the weights off it. Weights 5, 1, 1 give a a b a c a a. The
 * weights are read anew for each pick, so a node that warms up gets its growing part. The time of a pick grows
 * with the set.
 *
 * With `reports: true` the weights come from what the nodes say of their load; see `reported-weights.ts`.
 */
import type { CallInfo, Picker, Policy } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import { OptionReader } from "../core/option-reader.ts";
import type { Random } from "../core/random.ts";
import { readRandom } from "./chance.ts";
import { ReportedWeights } from "./reported-weights.ts";
import { type ExplainablePicker, sharesOf } from "./shares.ts";

/** The work that the random start of a new client may take, in nodes looked at: about a tenth of a millisecond. */
const mostStartingSteps = 50_000;
/** Breaks ties at the start of a large set; too small to ever outweigh a real difference. */
const tieBreak = 1e-9;

export interface WeightedRoundRobinOptions {
  /**
   * Chooses where in the sequence to start. Default: a generator of its own, so that clients that start together
   * do not call the same node together: each sees the same sequence from another point on. `() => 0` starts at its beginning.
   */
  readonly random?: Random | undefined;
  /**
   * Weighs nodes by the load reports in their answers, calls per second over utilization, as gRPC's
   * weighted_round_robin does. Default false: without a report of two nodes at least it changes nothing.
   */
  readonly reports?: boolean | undefined;
}

/**
 * Takes the nodes in turn, in proportion to weight.
 *
 * @throws TypeError for an option that does not exist or is of the wrong type.
 */
export function weightedRoundRobin(options: WeightedRoundRobinOptions = {}): Policy {
  const reader = new OptionReader(options, "weightedRoundRobin");
  const random = readRandom(reader);
  const reports = reader.boolean("reports", false);
  reader.end();
  return {
    name: "weightedRoundRobin",
    build(nodes, previous): Picker {
      const picker = new WeightedRoundRobinPicker(nodes, reports);
      if (previous instanceof WeightedRoundRobinPicker) picker.resumeFrom(previous);
      else picker.startAnywhere(random);
      return picker;
    },
  };
}

class WeightedRoundRobinPicker implements ExplainablePicker {
  readonly #nodes: readonly Node[];
  /** Each node's current value; a pick leaves their sum as it is. */
  readonly #currents: Float64Array;
  readonly #reported: ReportedWeights | undefined;

  constructor(nodes: readonly Node[], reports: boolean) {
    this.#nodes = nodes;
    this.#currents = new Float64Array(nodes.length);
    this.#reported = reports ? new ReportedWeights(nodes) : undefined;
  }

  pick(call: CallInfo): Node | undefined {
    return this.#next(call.tried);
  }

  /** The node whose turn it is has 1, all others 0. Exact but for the one pick that finds the weights far smaller. */
  shares(call: CallInfo): ReadonlyMap<Node, number> {
    let next = -1;
    let most = Number.NEGATIVE_INFINITY;
    const weights = this.#reported?.current;
    for (const [index, node] of this.#nodes.entries()) {
      const current = (this.#currents[index] as number) + (weights?.[index] ?? node.weight);
      if (current <= most || call.tried.includes(node)) continue;
      next = index;
      most = current;
    }
    return sharesOf(
      this.#nodes,
      this.#nodes.map((_, index) => (index === next ? 1 : 0)),
    );
  }

  /** Takes over the current value of each node that stays; new ones start in the middle, at 0, as in nginx. */
  resumeFrom(previous: WeightedRoundRobinPicker): void {
    const kept = new Map<Node, number>();
    for (const [index, node] of previous.#nodes.entries())
      kept.set(node, previous.#currents[index] as number);
    for (const [index, node] of this.#nodes.entries()) this.#currents[index] = kept.get(node) ?? 0;
  }

  /**
   * Goes to a random point of the sequence. Where that would take too long, in a set of many nodes, it goes as
   * far as it may, and the order of nodes that stand equal is random as well.
   */
  startAnywhere(random: Random): void {
    const period = sequenceLength(this.#nodes);
    const most = Math.max(1, Math.floor(mostStartingSteps / this.#nodes.length));
    if (period > most) {
      for (const [index, node] of this.#nodes.entries()) {
        this.#currents[index] = random() * node.weight * tieBreak;
      }
    }
    for (let steps = Math.floor(random() * Math.min(period, most)); steps > 0; steps--) this.#next([]);
  }

  #next(tried: readonly Node[]): Node | undefined {
    const nodes = this.#nodes;
    const currents = this.#currents;
    const weights = this.#reported?.current;
    let best = -1;
    let most = Number.NEGATIVE_INFINITY;
    let total = 0;
    for (let index = 0; index < nodes.length; index++) {
      const node = nodes[index] as Node;
      if (tried.length !== 0 && tried.includes(node)) continue;
      const weight = weights === undefined ? node.weight : (weights[index] as number);
      const current = (currents[index] as number) + weight;
      currents[index] = current;
      total += weight;
      if (current > most) {
        most = current;
        best = index;
      }
    }
    if (best < 0) return undefined;
    // None gets so far ahead by itself: the weights have shrunk, and it would have all calls until that is made up for.
    if (most > 2 * total && tried.length === 0) {
      currents.fill(0);
      return this.#next(tried);
    }
    currents[best] = most - total;
    return nodes[best];
  }
}

/** After how many picks the sequence starts over: the sum of whole weights; for others, near enough. */
function sequenceLength(nodes: readonly Node[]): number {
  let total = 0;
  let least = Number.POSITIVE_INFINITY;
  let isWhole = true;
  for (const { weight } of nodes) {
    total += weight;
    least = Math.min(least, weight);
    isWhole &&= Number.isInteger(weight);
  }
  return isWhole ? total : Math.ceil(total / least);
}
