/** A balancer with options for some calls. It has no life of its own: the balancer is what is closed. */
import type { Dispatcher } from "undici";
import { type CallRules, resolveRules, type WithOptions } from "../cluster/call-rules.ts";
import { describeRules, type RulesSummary, summarizeRules } from "../cluster/rules-summary.ts";
import { inspectBy, type Summary } from "../core/summary.ts";
import type { Balancer } from "./balancer.ts";
import { ClosableDispatcher } from "./closable-dispatcher.ts";

/** Works wherever a dispatcher does. Fields are private by type only, as in `Balancer`. */
export class BalancerView extends ClosableDispatcher {
  static {
    inspectBy(BalancerView.prototype, ({ balancer, rules }, depth, options) =>
      balancer.cluster.describe(`BalancerView with ${describeRules(rules)} of`, depth, options),
    );
  }

  readonly balancer: Balancer;
  declare protected readonly authority: string;
  private readonly rules: CallRules;

  constructor(balancer: Balancer, authority: string, rules: CallRules) {
    super(authority);
    this.balancer = balancer;
    this.rules = rules;
  }

  /** A view of this view. */
  with(options: WithOptions): BalancerView {
    return new BalancerView(this.balancer, this.authority, resolveRules(this.rules, options, "with"));
  }

  /** As the balancer's, with the options of these calls. */
  toJSON(): Summary & { readonly rules: RulesSummary } {
    return { ...this.balancer.toJSON(), rules: summarizeRules(this.rules) };
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    return this.balancer.dispatchBy(this.rules, options, handler);
  }

  /** Nothing to close: other calls use the balancer's connections too. */
  protected override async closeOnce(): Promise<void> {}

  protected override async destroyOnce(): Promise<void> {}
}
