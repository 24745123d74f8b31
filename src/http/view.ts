/** A balancer with options for some calls. It has no life of its own: the balancer is what is closed. */
import { Dispatcher } from "undici";
import { type CallRules, resolveRules, type WithOptions } from "../cluster/call-rules.ts";
import { describeRules, type RulesSummary, summarizeRules } from "../cluster/rules-summary.ts";
import { inspectBy, type Summary } from "../core/summary.ts";
import type { Balancer } from "./balancer.ts";
import { createFetch } from "./fetch.ts";

/** Works wherever a dispatcher does. Fields are private by type only, as in `Balancer`. */
export class BalancerView extends Dispatcher {
  static {
    inspectBy(BalancerView.prototype, ({ balancer, rules }, depth, options) =>
      balancer.cluster.describe(`BalancerView with ${describeRules(rules)} of`, depth, options),
    );
  }

  readonly balancer: Balancer;
  /** As the balancer's, by the rules of this view. Bound. */
  readonly fetch: typeof globalThis.fetch;
  private readonly authority: string;
  private readonly rules: CallRules;

  constructor(balancer: Balancer, authority: string, rules: CallRules) {
    super();
    this.balancer = balancer;
    this.authority = authority;
    this.rules = rules;
    this.fetch = createFetch(this, authority);
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

  /** Does nothing but wait a turn: other calls use the balancer's connections too. */
  override close(): Promise<void>;
  override close(callback: () => void): void;
  override close(callback?: () => void): Promise<void> | undefined {
    return nothing(callback);
  }

  /** As `close`. */
  override destroy(): Promise<void>;
  override destroy(error: Error | null): Promise<void>;
  override destroy(callback: () => void): void;
  override destroy(error: Error | null, callback: () => void): void;
  override destroy(
    errorOrCallback?: Error | null | (() => void),
    callback?: () => void,
  ): Promise<void> | undefined {
    return nothing(typeof errorOrCallback === "function" ? errorOrCallback : callback);
  }
}

function nothing(callback: (() => void) | undefined): Promise<void> | undefined {
  if (callback === undefined) return Promise.resolve();
  queueMicrotask(callback);
  return undefined;
}
