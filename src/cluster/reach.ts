/**
 * What a transport that keeps its connections ready can reach now, and the pickers over that.
 *
 * A cluster's own pickers are over all nodes that may be called, since most transports connect when they are given a
 * node. One whose picks have to be answered at once, as those of grpc-js, may only be given nodes that it is connected
 * to. Health, trials, tiers and the policy are the cluster's as ever.
 */
import type { Node } from "../core/node.ts";
import type { NodeSet } from "./node-set.ts";
import type { ResolvedOptions } from "./options.ts";
import { Pickers } from "./pickers.ts";

export class Reach {
  /** Nodes that are connected. Whoever changes it calls `rebuild`. */
  readonly ready: Set<Node> = new Set();
  /** Nodes that are connected, or should be. */
  readonly wanted: Set<Node> = new Set();
  readonly pickers: Pickers;
  /** How many nodes the pickers are over. */
  size = 0;
  readonly #set: NodeSet;

  constructor(set: NodeSet, options: Pick<ResolvedOptions, "zone" | "random">) {
    this.#set = set;
    this.pickers = new Pickers(set.policy, options);
  }

  /**
   * Builds the pickers over what may be called and is connected.
   *
   * @param takesUnfit whether calls go to nodes that are out when no other is connected.
   */
  rebuild(takesUnfit: boolean): void {
    const eligible = this.#set.eligible.filter((node) => this.wanted.has(node));
    let callable = this.#set.callable.filter((node) => this.ready.has(node));
    if (callable.length === 0 && takesUnfit) callable = eligible.filter((node) => this.ready.has(node));
    this.size = callable.length;
    this.pickers.rebuild(eligible, callable);
  }
}
