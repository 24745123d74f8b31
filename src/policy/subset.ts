/**
 * Subset: each client calls a few of many nodes, always the same ones, chosen by rendezvous hashing.
 *
 * A thousand clients of a thousand nodes would hold a million connections, and each client would see too few calls
 * to any node to learn its latency. gRFC A68 ("Random subsetting with rendezvous hashing"): a client takes the
 * `size` nodes whose hash together with its own name is the least. A node that comes or goes changes at most one
 * node of any subset. The nodes' numbers of clients differ as by chance (Poisson): with 1,000 clients of 20 nodes
 * each over 100 nodes, where 200 is the mean, the most is about 1.2 times the mean.
 */
import { randomUUID } from "node:crypto";
import type { Policy } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import { OptionReader } from "../core/option-reader.ts";
import { hashString, mix } from "./hash.ts";
import { leastCost } from "./least-cost.ts";

/** This process as a client, in all of its clusters. */
const thisProcess = randomUUID();

export interface SubsetOptions {
  /**
   * How many nodes a client calls, an integer of at least 1. There is no right number for all: with `c` clients
   * each node has `c * size / nodes` of them, and at 100 or more of those the fullest has 1.3 times the mean. The SRE
   * book (chapter 20) has 20 to 100.
   */
  readonly size: number;
  /**
   * The client's name, which no other client should have: the name of a pod, say, to have the same nodes after a
   * restart. Default: one by chance for each process.
   */
  readonly clientId?: string | undefined;
  /** What picks among the nodes of the subset. Default: `leastCost()`. */
  readonly policy?: Policy | undefined;
}

/**
 * Lets another policy pick among a subset of the nodes. Weights do not decide who is in it; they count among those
 * who are, so over many clients each node has its part. A node of the subset that goes or is taken out is replaced
 * by the next best at once, and has its place again when it is back.
 *
 * @throws RangeError for a `size` below 1 or not an integer; TypeError for an option that is missing, does not exist
 *   or is of the wrong type.
 * @example
 * const orders = new Cluster({ name: "orders", discovery, policy: subset({ size: 20, policy: leastCost() }) });
 */
export function subset(options: SubsetOptions): Policy {
  const reader = new OptionReader(options, "subset");
  if (reader.value("size") === undefined) throw new TypeError("subset.size must be a number, got undefined");
  const size = reader.number("size", { default: 1, min: 1, integer: true });
  const client = reader.string("clientId") ?? thisProcess;
  const policy = reader.object<Policy>("policy", ["build"]) ?? leastCost();
  reader.end();
  const high = hashString(client);
  const low = hashString(client, 1);
  return {
    name: `subset of ${policy.name}`,
    build: (nodes, previous) => policy.build(choose(nodes, size, high, low), previous),
    candidates: (nodes) => choose(nodes, size, high, low),
    observe: (node, latencyMs, outcome, now) => policy.observe?.(node, latencyMs, outcome, now),
    inner: policy,
  };
}

/** As many of the nodes as that, always the same for this process. @internal */
export function chooseSubset(nodes: readonly Node[], size: number): readonly Node[] {
  return choose(nodes, size, hashString(thisProcess), hashString(thisProcess, 1));
}

/** The nodes of least rank, in the order of the set. */
function choose(nodes: readonly Node[], size: number, high: number, low: number): readonly Node[] {
  if (nodes.length <= size) return nodes;
  const ranks = new Float64Array(nodes.length);
  for (const [index, { key }] of nodes.entries()) ranks[index] = rank(key, high, low);
  const last = ranks.slice().sort()[size - 1] as number;
  const chosen = nodes.filter((_, index) => (ranks[index] as number) <= last);
  if (chosen.length === size) return chosen;
  // Two nodes of the same rank: of those the first by address.
  const tied = nodes.filter((_, index) => ranks[index] === last);
  tied.sort((one, other) => (one.key < other.key ? -1 : 1));
  const surplus = new Set(tied.slice(tied.length - (chosen.length - size)));
  return chosen.filter((node) => !surplus.has(node));
}

/** A number of 53 bits that depends on client and node alone. */
function rank(key: string, high: number, low: number): number {
  const upper = mix(hashString(key) ^ high) >>> 0;
  const lower = mix(hashString(key, 1) ^ low) >>> 11;
  return upper * 2 ** 21 + lower;
}
