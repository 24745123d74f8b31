/** A cluster with options for some calls. It has no life of its own: the cluster is what is closed. */
import { type CallRules, resolveRules, type WithOptions } from "./call-rules.ts";
import type { Cluster } from "./cluster.ts";
import { type CallOptions, FunctionCall, type NodeAttempt } from "./function-call.ts";

export class ClusterView {
  readonly cluster: Cluster;
  readonly #rules: CallRules;

  constructor(cluster: Cluster, rules: CallRules) {
    this.cluster = cluster;
    this.#rules = rules;
  }

  /** See `Cluster.call`. */
  call<T>(call: (attempt: NodeAttempt) => Promise<T> | T, options?: CallOptions): Promise<T> {
    return FunctionCall.run(this.cluster, this.#rules, call, options);
  }

  /** A view of this view. */
  with(options: WithOptions): ClusterView {
    return new ClusterView(this.cluster, resolveRules(this.#rules, options, "with"));
  }
}
