/** The chance of each node to be picked by a policy that draws a few by weight and compares them. */
import type { CallInfo, Picker } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";

/** Up to how many nodes two choices are weighed pair by pair: a million pairs take some 10 ms. */
const mostInPairs = 1_000;

export function isExactByPairs(nodes: number, choices: number): boolean {
  return Math.min(choices, nodes) <= 2 && nodes <= mostInPairs;
}

/**
 * Each node's chance with two choices, exactly.
 *
 * @param beats whether the node drawn second takes the call from the one drawn first, by their indexes.
 */
export function sharesByPairs(
  nodes: readonly Node[],
  tried: readonly Node[],
  beats: (challenger: number, holder: number) => boolean,
): Float64Array {
  const parts = new Float64Array(nodes.length);
  const weights = nodes.map((node) => (tried.includes(node) ? 0 : node.weight));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const untried = weights.filter((weight) => weight > 0).length;
  for (const [first, firstWeight] of weights.entries()) {
    if (untried === 1) parts[first] = firstWeight;
    if (untried < 2 || firstWeight === 0) continue;
    for (const [second, secondWeight] of weights.entries()) {
      if (second === first || secondWeight === 0) continue;
      const winner = beats(second, first) ? second : first;
      const chance = ((firstWeight / total) * secondWeight) / (total - firstWeight);
      parts[winner] = (parts[winner] as number) + chance;
    }
  }
  return parts;
}

/** How often each node is picked in some 20,000 picks, to about one percent. `picker` draws from chance of its own. */
export function sharesBySimulation(nodes: readonly Node[], call: CallInfo, picker: Picker): Float64Array {
  const parts = new Float64Array(nodes.length);
  const indexes = new Map(nodes.map((node, index) => [node, index]));
  for (let picks = Math.max(20_000, 20 * nodes.length); picks > 0; picks--) {
    const node = picker.pick(call);
    const index = node === undefined ? undefined : indexes.get(node);
    if (index === undefined) break;
    parts[index] = (parts[index] as number) + 1;
  }
  return parts;
}
