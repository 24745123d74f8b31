/**
 * Least request: of a few nodes drawn at random, the one with the fewest calls in flight for its weight.
 *
 * Nodes are drawn in proportion to weight and without replacement. Envoy draws with replacement, and so takes
 * the busier of two nodes a quarter of the time; and with unequal weights it gives up drawing for a scheduler of
 * all nodes (`least_request_lb.cc`). Drawing by weight keeps both: constant time, and the weights.
 *
 * A node drawn later takes the call from one drawn before only if it carries less for its weight both as it is,
 * inflight / weight, and with this call, (inflight + 1) / weight. Either alone breaks the weights while little is
 * in flight: the first takes a node of weight 1 with no call before one of weight 100 with a single call, the
 * second always takes the heavier of two idle nodes. With weights 10, 1, 1 and six calls in flight, where 83% is
 * fair, the heavy node gets 71% by the first, over 98% by the second, 88% by both. Where the two disagree, the
 * order of drawing decides, and so weight does. With equal weights all three are the same.
 */
import type { CallInfo, Picker, Policy } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import { OptionReader } from "../core/option-reader.ts";
import { createSeededRandom, type Random } from "../core/random.ts";
import { readRandom } from "./chance.ts";
import { isExactByPairs, sharesByPairs, sharesBySimulation } from "./drawn-shares.ts";
import { type ExplainablePicker, sharesOf } from "./shares.ts";
import { WeightedDraw } from "./weighted-draw.ts";

export interface LeastRequestOptions {
  /**
   * How many nodes each pick compares, an integer of at least 2. Default 2: the second choice brings nearly all
   * of the gain (M. Mitzenmacher, "The power of two choices", 2001). The time of a pick grows with it.
   */
  readonly choices?: number | undefined;
  /** The source of chance. Default: a generator of its own; tests seed it. */
  readonly random?: Random | undefined;
}

/**
 * Spreads calls by how many are in flight.
 *
 * @throws RangeError for `choices` below 2 or not an integer (for one choice there is `random()`); TypeError for
 *   an option that does not exist or is of the wrong type.
 */
export function leastRequest(options: LeastRequestOptions = {}): Policy {
  const reader = new OptionReader(options, "leastRequest");
  const choices = reader.number("choices", { default: 2, min: 2, integer: true });
  const random = readRandom(reader);
  reader.end();
  return { name: "leastRequest", build: (nodes): Picker => new LeastRequestPicker(nodes, choices, random) };
}

class LeastRequestPicker implements ExplainablePicker {
  readonly #nodes: readonly Node[];
  readonly #choices: number;
  readonly #draw: WeightedDraw;

  constructor(nodes: readonly Node[], choices: number, random: Random) {
    this.#nodes = nodes;
    this.#choices = Math.min(choices, nodes.length);
    this.#draw = new WeightedDraw(nodes, random);
  }

  pick(call: CallInfo): Node | undefined {
    const { tried } = call;
    let best: Node | undefined;
    this.#draw.begin();
    for (let choice = 0; choice < this.#choices; choice++) {
      let index = this.#draw.next(tried);
      if (index < 0) index = this.#draw.nextByScan(tried);
      if (index < 0) break;
      const node = this.#nodes[index] as Node;
      if (best === undefined || isLessBusy(node, best)) best = node;
    }
    return best;
  }

  /** Exact for two choices of up to 1,000 nodes; else counted over simulated picks, to about one percent. */
  shares(call: CallInfo): ReadonlyMap<Node, number> {
    const nodes = this.#nodes;
    const parts = isExactByPairs(nodes.length, this.#choices)
      ? sharesByPairs(nodes, call.tried, (challenger, holder) =>
          isLessBusy(nodes[challenger] as Node, nodes[holder] as Node),
        )
      : sharesBySimulation(nodes, call, new LeastRequestPicker(nodes, this.#choices, createSeededRandom(1)));
    return sharesOf(nodes, parts);
  }
}

/** A strict partial order: the node that is kept is never busier than another that was drawn. */
function isLessBusy(node: Node, other: Node): boolean {
  return (
    node.inflight / node.weight < other.inflight / other.weight &&
    (node.inflight + 1) / node.weight < (other.inflight + 1) / other.weight
  );
}
