/** Picks a tier by its share of the calls, then lets the policy pick within it. */
import type { CallInfo, Picker } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import type { Random } from "../core/random.ts";
import { hashString } from "../policy/hash.ts";
import { type ExplainablePicker, isExplainable } from "../policy/shares.ts";
import type { GuardedPolicy } from "./guarded-policy.ts";
import { splitIntoTiers, type Tier } from "./tiers.ts";

/** Makes the hash for tiers independent of the policies' own. Any number but theirs. */
const tierSeed = 0x7_1e_25;

/**
 * The picker for the nodes that may be called: the policy's own where there is nothing to prefer.
 *
 * @param previous what this function returned before, to take over where it stood.
 */
export function buildPicker(
  policy: GuardedPolicy,
  eligible: readonly Node[],
  callable: readonly Node[],
  zone: string | undefined,
  random: Random,
  previous: Picker | undefined,
): Picker | undefined {
  const tiers = splitIntoTiers(eligible, callable, zone);
  const [first] = tiers;
  if (first === undefined) return undefined;
  const before = previous instanceof TieredPicker ? previous.pickers : new Map([["", previous]]);
  if (first.key === "") return policy.build(first.nodes, before.get(""));
  const pickers = new Map(tiers.map(({ key, nodes }) => [key, policy.build(nodes, before.get(key))]));
  return new TieredPicker(tiers, pickers, random);
}

export class TieredPicker implements ExplainablePicker {
  /** By the keys of the tiers. */
  readonly pickers: ReadonlyMap<string, Picker>;
  readonly #tiers: readonly Tier[];
  readonly #inOrder: readonly Picker[];
  readonly #random: Random;

  constructor(tiers: readonly Tier[], pickers: ReadonlyMap<string, Picker>, random: Random) {
    this.#tiers = tiers;
    this.pickers = pickers;
    this.#inOrder = [...pickers.values()];
    this.#random = random;
  }

  pick(call: CallInfo): Node | undefined {
    const drawn = this.#draw(call.hashKey);
    const node = this.#inOrder[drawn]?.pick(call);
    if (node !== undefined) return node;
    // The call has tried all of that tier: the others, in order of preference.
    for (let index = 0; index < this.#inOrder.length; index++) {
      const other = index === drawn ? undefined : this.#inOrder[index]?.pick(call);
      if (other !== undefined) return other;
    }
    return undefined;
  }

  shares(call: CallInfo): ReadonlyMap<Node, number> {
    const shares = new Map<Node, number>();
    for (const [index, { nodes, share }] of this.#tiers.entries()) {
      const picker = this.#inOrder[index];
      const within = picker !== undefined && isExplainable(picker) ? picker.shares(call) : undefined;
      for (const node of nodes) shares.set(node, share * (within?.get(node) ?? 1 / nodes.length));
    }
    return shares;
  }

  /** By chance; calls with the same key always the same way, as their policy would have them. */
  #draw(hashKey: string | undefined): number {
    let point = hashKey === undefined ? this.#random() : (hashString(hashKey, tierSeed) >>> 0) / 2 ** 32;
    let chosen = 0;
    for (let index = 0; index < this.#tiers.length; index++) {
      const { share } = this.#tiers[index] as Tier;
      // A tier without a share is never drawn, whatever rounding leaves over.
      if (share === 0) continue;
      chosen = index;
      point -= share;
      if (point < 0) break;
    }
    return chosen;
  }
}
