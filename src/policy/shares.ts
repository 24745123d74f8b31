/** What a picker can tell of itself: the chance of each node to be the next one picked. For `explain()`. */
import type { CallInfo, Picker } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";

/** A picker that can say beforehand whom it would pick. Optional: not every algorithm can. */
export interface ExplainablePicker extends Picker {
  /**
   * The probability of each node of the set to be what `pick(call)` returns now. The values add up to 1, or are
   * all 0 when every node was tried. Asking changes nothing; it costs far more than a pick.
   */
  shares(call: CallInfo): ReadonlyMap<Node, number>;
}

export function isExplainable(picker: Picker): picker is ExplainablePicker {
  return "shares" in picker && typeof picker.shares === "function";
}

/** Shares that are in proportion to each node's part; a part of 0 leaves the node out. */
export function sharesOf(nodes: readonly Node[], parts: ArrayLike<number>): ReadonlyMap<Node, number> {
  let total = 0;
  for (let index = 0; index < nodes.length; index++) total += parts[index] as number;
  const shares = new Map<Node, number>();
  for (const [index, node] of nodes.entries()) {
    shares.set(node, total > 0 ? (parts[index] as number) / total : 0);
  }
  return shares;
}
