/** A cluster with options for some calls. It has no life of its own: the cluster is what is closed. */

import { inspectBy, type Summary } from "../core/summary.ts";
import { type CallRules, resolveRules, type WithOptions } from "./call-rules.ts";
import type { Cluster } from "./cluster.ts";
import { type CallOptions, FunctionCall, type NodeAttempt } from "./function-call.ts";
import { describeRules, type RulesSummary, summarizeRules } from "./rules-summary.ts";

export class ClusterView {
  static {
    inspectBy(ClusterView.prototype, (view, depth, options) =>
      view.cluster.describe(`ClusterView with ${describeRules(view.#rules)} of`, depth, options),
    );
  }

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

  /** As the cluster's, with the options of these calls. */
  toJSON(): Summary & { readonly rules: RulesSummary } {
    return { ...this.cluster.toJSON(), rules: summarizeRules(this.#rules) };
  }

  /** A view of this view. */
  with(options: WithOptions): ClusterView {
    return new ClusterView(this.cluster, resolveRules(this.#rules, options, "with"));
  }
}
