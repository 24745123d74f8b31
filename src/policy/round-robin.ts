/**
 * Round robin: each node in turn, whatever its weight.
 *
 * Each client starts at a node of its own, by chance, so that clients that start together do not call the same
 * node together. A new set goes on at the node whose turn it was.
 */
import type { CallInfo, Picker, Policy } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import { OptionReader } from "../core/option-reader.ts";
import type { Random } from "../core/random.ts";
import { readRandom } from "./chance.ts";
import { type ExplainablePicker, sharesOf } from "./shares.ts";

export interface RoundRobinOptions {
  /** Chooses where to start. Default: a generator of its own; tests seed it. */
  readonly random?: Random | undefined;
}

/**
 * Takes the nodes in turn. For turns by weight there is `weightedRoundRobin()`.
 *
 * @throws TypeError for an option that does not exist or is of the wrong type.
 */
export function roundRobin(options: RoundRobinOptions = {}): Policy {
  const reader = new OptionReader(options, "roundRobin");
  const random = readRandom(reader);
  reader.end();
  return {
    name: "roundRobin",
    build(nodes, previous): Picker {
      const start = previous instanceof RoundRobinPicker ? previous.resumeIn(nodes) : undefined;
      return new RoundRobinPicker(nodes, start ?? Math.floor(random() * nodes.length));
    },
  };
}

class RoundRobinPicker implements ExplainablePicker {
  readonly #nodes: readonly Node[];
  #position: number;

  constructor(nodes: readonly Node[], start: number) {
    this.#nodes = nodes;
    this.#position = start;
  }

  pick(call: CallInfo): Node | undefined {
    const { tried } = call;
    for (let passed = 0; passed < this.#nodes.length; passed++) {
      const node = this.#nodes[this.#position] as Node;
      this.#position = this.#position + 1 === this.#nodes.length ? 0 : this.#position + 1;
      if (tried.length === 0 || !tried.includes(node)) return node;
    }
    return undefined;
  }

  /** Exact: the node whose turn it is has 1, all others 0. */
  shares(call: CallInfo): ReadonlyMap<Node, number> {
    const next = this.#inTurn().find((node) => !call.tried.includes(node));
    return sharesOf(
      this.#nodes,
      this.#nodes.map((node) => (node === next ? 1 : 0)),
    );
  }

  /** Where the turn stands in another set: at the first node, from the present one on, that is in it too. */
  resumeIn(nodes: readonly Node[]): number | undefined {
    const present = new Map<Node, number>();
    for (const [index, node] of nodes.entries()) present.set(node, index);
    for (const node of this.#inTurn()) {
      const index = present.get(node);
      if (index !== undefined) return index;
    }
    return undefined;
  }

  #inTurn(): readonly Node[] {
    return [...this.#nodes.slice(this.#position), ...this.#nodes.slice(0, this.#position)];
  }
}
