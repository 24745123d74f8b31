/** A gRPC balancer with options for some calls. It has no life of its own: the balancer is what is closed. */
import type { CallOptions, Interceptor } from "@grpc/grpc-js";
import type { CallRules, WithOptions } from "../cluster/call-rules.ts";
import { describeRules, type RulesSummary, summarizeRules } from "../cluster/rules-summary.ts";
import { inspectBy, type Summary } from "../core/summary.ts";
import type { GrpcBalancer, GrpcChannelOptions } from "./grpc-balancer.ts";

/** What a view is made of. Types of grpc-js' experimental interface stay out of what programs see. */
export interface ViewParts {
  readonly rules: CallRules;
  readonly callOptions: CallOptions;
  readonly interceptor: Interceptor;
  with(options: WithOptions): GrpcBalancerView;
}

/** Made by `orders.with({ ... })`. Its connections are the balancer's. */
export class GrpcBalancerView {
  static {
    inspectBy(GrpcBalancerView.prototype, (view, depth, options) => {
      const { balancer } = view;
      const name = `GrpcBalancerView with ${describeRules(view.#parts.rules)} of`;
      return balancer.cluster.describe(name, depth, options);
    });
  }

  readonly balancer: GrpcBalancer;
  /**
   * For one call, as the options that it is given: `{ ...view.callOptions, deadline }` adds to them. The interceptor in
   * the client's `channelOptions` reads them, so that the client has to be made with these; interceptors of the
   * client's own run as ever.
   */
  readonly callOptions: CallOptions;
  readonly #parts: ViewParts;

  constructor(balancer: GrpcBalancer, parts: ViewParts) {
    this.balancer = balancer;
    this.callOptions = parts.callOptions;
    this.#parts = parts;
  }

  get target(): string {
    return this.balancer.target;
  }

  /** For a client, all of whose calls have the options of this view; `callOptions` of another view go before. */
  get channelOptions(): GrpcChannelOptions {
    return { ...this.balancer.channelOptions, interceptors: [this.#parts.interceptor] };
  }

  /** A view of this view. */
  with(options: WithOptions): GrpcBalancerView {
    return this.#parts.with(options);
  }

  /** As the balancer's, with the options of these calls. */
  toJSON(): Summary & { readonly rules: RulesSummary } {
    return { ...this.balancer.toJSON(), rules: summarizeRules(this.#parts.rules) };
  }
}
