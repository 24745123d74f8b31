/** Random: any node, in proportion to weight. It knows nothing of load; a measure for the others. */
import type { CallInfo, Picker, Policy } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import { OptionReader } from "../core/option-reader.ts";
import type { Random } from "../core/random.ts";
import { readRandom } from "./chance.ts";
import { type ExplainablePicker, sharesOf } from "./shares.ts";
import { WeightedDraw } from "./weighted-draw.ts";

export interface RandomOptions {
  /** The source of chance. Default: a generator of its own; tests seed it. */
  readonly random?: Random | undefined;
}

/**
 * Spreads calls by chance alone.
 *
 * @throws TypeError for an option that does not exist or is of the wrong type.
 */
export function random(options: RandomOptions = {}): Policy {
  const reader = new OptionReader(options, "random");
  const chance = readRandom(reader);
  reader.end();
  return { name: "random", build: (nodes): Picker => new RandomPicker(nodes, chance) };
}

class RandomPicker implements ExplainablePicker {
  readonly #nodes: readonly Node[];
  readonly #draw: WeightedDraw;

  constructor(nodes: readonly Node[], chance: Random) {
    this.#nodes = nodes;
    this.#draw = new WeightedDraw(nodes, chance);
  }

  pick(call: CallInfo): Node | undefined {
    this.#draw.begin();
    let index = this.#draw.next(call.tried);
    if (index < 0) index = this.#draw.nextByScan(call.tried);
    return index < 0 ? undefined : this.#nodes[index];
  }

  /** Exact. */
  shares(call: CallInfo): ReadonlyMap<Node, number> {
    const parts = this.#nodes.map((node) => (call.tried.includes(node) ? 0 : node.weight));
    return sharesOf(this.#nodes, parts);
  }
}
