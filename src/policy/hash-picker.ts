/** The picker of all hashing policies: a key's node by the table, or the next that can take the call. */
import type { CallInfo, Picker, Policy } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import type { Random } from "../core/random.ts";
import { hashString } from "./hash.ts";
import type { KeyReader } from "./hash-key.ts";
import type { HashTable, TableMaker } from "./hash-table.ts";
import { LoadBound } from "./load-bound.ts";
import { Rendezvous, unit } from "./rendezvous.ts";
import { type ExplainablePicker, sharesOf } from "./shares.ts";
import { type Schedule, TableKeeper } from "./table-keeper.ts";
import { WeightedDraw } from "./weighted-draw.ts";

/**
 * After how many places a pick leaves the table and looks at all nodes. At a factor of 1.25 at most 4 of 5 nodes are
 * full; 64 places in a row are theirs once in a million picks.
 */
const mostPlaces = 64;

/** What a hashing policy is made of. */
export interface HashPolicyParts {
  readonly name: string;
  readonly key: KeyReader;
  readonly boundFactor: number;
  readonly random: Random;
  readonly schedule: Schedule;
  readonly tables: TableMaker;
}

export function hashPolicy(parts: HashPolicyParts): Policy {
  return {
    name: parts.name,
    build(nodes, previous): Picker {
      const keeper =
        (previous instanceof HashPicker ? previous.keeperOf(parts) : undefined) ??
        new TableKeeper(parts.tables, parts.schedule);
      return new HashPicker(keeper.want(nodes), parts, keeper);
    },
  };
}

class HashPicker implements ExplainablePicker {
  readonly #nodes: readonly Node[];
  readonly #parts: HashPolicyParts;
  readonly #key: KeyReader;
  readonly #keeper: TableKeeper;
  readonly #bound: LoadBound;
  /** Made when first needed. */
  #present: ReadonlySet<Node> | undefined;
  #rendezvous: Rendezvous | undefined;
  #draw: WeightedDraw | undefined;

  constructor(nodes: readonly Node[], parts: HashPolicyParts, keeper: TableKeeper) {
    this.#nodes = nodes;
    this.#parts = parts;
    this.#key = parts.key;
    this.#keeper = keeper;
    this.#bound = new LoadBound(nodes, parts.boundFactor);
  }

  /** The tables that go on under a changed set; none if this is the picker of another policy. */
  keeperOf(parts: HashPolicyParts): TableKeeper | undefined {
    return parts === this.#parts ? this.#keeper : undefined;
  }

  pick(call: CallInfo): Node | undefined {
    const key = this.#key(call);
    if (key === undefined) return this.#pickByChance(call.tried);
    const hash = hashString(key);
    this.#bound.refresh();
    if (this.#keeper.hasNews) this.#keeper.begin();
    const { table } = this.#keeper;
    const node = table === undefined ? undefined : this.#pickByTable(table, hash, call.tried);
    if (node !== undefined) return node;
    this.#rendezvous ??= new Rendezvous(this.#nodes);
    return this.#rendezvous.pick(hash, call.tried, this.#bound);
  }

  /** Exact: the node of the call's key has 1; without a key each has its part of the weight. */
  shares(call: CallInfo): ReadonlyMap<Node, number> {
    const hasKey = this.#key(call) !== undefined;
    const picked = hasKey ? this.pick(call) : undefined;
    const parts = this.#nodes.map((node) => {
      if (hasKey) return node === picked ? 1 : 0;
      return call.tried.includes(node) ? 0 : node.weight;
    });
    return sharesOf(this.#nodes, parts);
  }

  #pickByTable(table: HashTable, hash: number, tried: readonly Node[]): Node | undefined {
    const { nodes, owners, weights } = table;
    let place = table.locate(hash);
    for (let left = mostPlaces; left > 0; left--) {
      const index = owners[place] as number;
      const node = nodes[index] as Node;
      if (
        !this.#bound.isFull(node) &&
        (tried.length === 0 || !tried.includes(node)) &&
        (nodes === this.#nodes || this.#isPresent(node)) &&
        isWarmFor(node, weights[index] as number, hash)
      ) {
        return node;
      }
      place = table.next(place, hash);
    }
    return undefined;
  }

  /** The table may be one of a set before. */
  #isPresent(node: Node): boolean {
    this.#present ??= new Set(this.#nodes);
    return this.#present.has(node);
  }

  #pickByChance(tried: readonly Node[]): Node | undefined {
    this.#draw ??= new WeightedDraw(this.#nodes, this.#parts.random);
    this.#draw.begin();
    let index = this.#draw.next(tried);
    if (index < 0) index = this.#draw.nextByScan(tried);
    return index < 0 ? undefined : this.#nodes[index];
  }
}

/** A node that warms up has its weight's part of its keys, always the same ones, and more of them as it grows. */
function isWarmFor(node: Node, fullWeight: number, hash: number): boolean {
  return node.weight >= fullWeight || unit(hash ^ hashString(node.key)) * fullWeight < node.weight;
}
