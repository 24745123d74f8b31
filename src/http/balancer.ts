/**
 * The undici Dispatcher over a cluster: every call goes to the node that is best for it now.
 *
 * @example
 * await using orders = new Balancer({ name: "orders", discovery: ["http://127.0.0.1:8080", "http://127.0.0.1:8081"] });
 * const response = await orders.fetch("/v1/orders/42");
 */
import { type Dispatcher, Dispatcher1Wrapper, errors } from "undici";
import { ActiveCalls } from "../cluster/active-calls.ts";
import { type CallRules, resolveRules, type WithOptions } from "../cluster/call-rules.ts";
import { Cluster } from "../cluster/cluster.ts";
import type { ExplainedCall, Explanation } from "../cluster/explain.ts";
import type { ClusterOptions } from "../cluster/options.ts";
import { BalancerError } from "../core/errors.ts";
import type { DiscoveryState } from "../core/observation.ts";
import { inspectBy, type Summary } from "../core/summary.ts";
import type { NodeView } from "../core/view.ts";
import type { ShadowReport } from "../policy/shadow.ts";
import { ClosableDispatcher } from "./closable-dispatcher.ts";
import { Exchange, type ExchangeHost } from "./exchange.ts";
import { forwardEvents } from "./forward-events.ts";
import { findHeader, withLastingHeaders } from "./headers.ts";
import { Pools } from "./pools.ts";
import { ReplayMemory } from "./replay.ts";
import { BalancerView } from "./view.ts";

export type BalancerOptions = ClusterOptions;

/** Missing in undici's types. */
const { wrapHandler } = Dispatcher1Wrapper as unknown as {
  wrapHandler(handler: object): Dispatcher.DispatchHandler;
};

/**
 * Works wherever a dispatcher does. It takes calls without an origin, or whose host is the service's name; any
 * other origin is a TypeError, so that a redirect never sends a call of one service to another one's node.
 */
export class Balancer extends ClosableDispatcher {
  static {
    inspectBy(Balancer.prototype, ({ cluster }, depth, options) =>
      cluster.describe("Balancer", depth, options),
    );
  }

  readonly cluster: Cluster;

  declare protected readonly authority: string;
  private readonly host: ExchangeHost;
  private readonly ownsCluster: boolean;
  /** The origin that was found right last, and whether it is https: a program has few. */
  private knownOrigin: string | URL | undefined = undefined;
  private knownSecure = false;
  private readonly active: ActiveCalls = new ActiveCalls();

  /**
   * @param from the options of a cluster of its own, or a cluster that others use as well; that one is left
   *   open when the balancer closes.
   * @throws TypeError or RangeError that names the option and the value it got.
   */
  constructor(from: BalancerOptions | Cluster) {
    super(authorityOf(from.name));
    this.ownsCluster = !(from instanceof Cluster);
    this.cluster = from instanceof Cluster ? from : new Cluster(from);
    const pools = new Pools(this.cluster, (pool) => forwardEvents(pool, this));
    this.host = {
      cluster: this.cluster,
      pools,
      replayMemory: new ReplayMemory(),
      endless: new Set(),
      active: this.active,
    };
  }

  get name(): string {
    return this.cluster.name;
  }

  /** All nodes as they are now, those that drain included. */
  get nodes(): readonly NodeView[] {
    return this.cluster.nodes;
  }

  /** Whether every node is out and calls go out anyway. */
  get failingOpen(): boolean {
    return this.cluster.failingOpen;
  }

  get discoveryState(): DiscoveryState {
    return this.cluster.discoveryState;
  }

  /** See `Cluster.shadowReport`. */
  get shadowReport(): ShadowReport | undefined {
    return this.cluster.shadowReport;
  }

  /** See `Cluster.ready`. */
  ready(options?: { readonly timeoutMs?: number }): Promise<void> {
    return this.cluster.ready(options);
  }

  /**
   * A cheap view with options for some calls: `orders.with({ attemptMs: 100 }).fetch("/v1/orders")`. It shares
   * everything else with this balancer, which is what is closed.
   *
   * @throws TypeError or RangeError that names the option and the value it got.
   */
  with(options: WithOptions): BalancerView {
    return new BalancerView(this, this.authority, resolveRules(this.cluster.rules, options, "with"));
  }

  /** See `Cluster.drain`. */
  drain(address: string): boolean {
    return this.cluster.drain(address);
  }

  /** See `Cluster.undrain`. */
  undrain(address: string): boolean {
    return this.cluster.undrain(address);
  }

  /** See `Cluster.explain`. */
  explain(call?: ExplainedCall): Explanation {
    return this.cluster.explain(call);
  }

  /** Plain data for logs: what `nodes` says, and how the service is. */
  toJSON(): Summary {
    return this.cluster.toJSON();
  }

  /**
   * @returns false when the node's connections are all busy; "drain" is emitted when they no longer are.
   * @throws TypeError for a handler that is none. Everything else reaches the handler as an error.
   */
  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    return this.dispatchBy(this.cluster.rules, options, handler);
  }

  /** `dispatch` by the rules of a view. @internal */
  dispatchBy(
    rules: CallRules,
    options: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler,
  ): boolean {
    if (typeof handler !== "object" || handler === null) throw new TypeError("handler must be an object");
    // The built-in fetch of Node 22 and 24 hands over handlers of undici's former interface.
    const modern = handler.onRequestStart === undefined ? wrapHandler(handler) : handler;
    let exchange: Exchange;
    try {
      if (typeof options !== "object" || options === null) {
        throw new errors.InvalidArgumentError("opts must be an object.");
      }
      const secure = this.checkOrigin(options.origin);
      if (this.closed) throw new BalancerError("ERR_CLOSED", this.name, "the balancer is closed");
      const lasting = withLastingHeaders(options);
      exchange = new Exchange(this.host, lasting, modern, isIdempotent(lasting, rules), secure, rules);
    } catch (error) {
      modern.onResponseError?.(null as unknown as Dispatcher.DispatchController, error as Error);
      return false;
    }
    this.active.started();
    exchange.begin();
    return exchange.accepted;
  }

  protected override async closeOnce(): Promise<void> {
    if (this.active.count > 0) await this.active.idle();
    await this.host.pools.destroy(null);
    if (this.ownsCluster) await this.cluster.close();
  }

  protected override async destroyOnce(
    error: Error | null,
    closing: Promise<void> | undefined,
  ): Promise<void> {
    const reason = error ?? new BalancerError("ERR_CLOSED", this.name, "the balancer was destroyed");
    const closed = closing ?? this.closeOnce();
    const isOwn = (call: unknown) => call instanceof Exchange && call.belongsTo(this.host);
    this.cluster.cancel(this.cluster.deadlines.entries().filter(isOwn), reason);
    this.cluster.cancel(this.host.endless, reason);
    if (this.ownsCluster) this.cluster.destroy(reason);
    await this.host.pools.destroy(reason);
    await closed;
  }

  /** Whether the call's URL is https. @throws TypeError for the origin of another service. */
  private checkOrigin(origin: string | URL | undefined): boolean {
    if (origin === undefined || origin === null) return false;
    if (origin === this.knownOrigin) return this.knownSecure;
    const url = typeof origin === "string" ? URL.parse(origin) : origin;
    if (url === null || !/^https?:$/.test(url.protocol) || !isHostOf(url, this.authority)) {
      throw new TypeError(
        `${this.name}: origin ${String(origin).slice(0, 200)} is not this service's; expected http://${this.authority}`,
      );
    }
    this.knownSecure = url.protocol === "https:";
    // A URL object may change later.
    if (typeof origin === "string") this.knownOrigin = origin;
    return url.protocol === "https:";
  }
}

/** The service's name as the host of a URL. @throws TypeError if it cannot be one. */
function authorityOf(name: string): string {
  // The cluster's options refuse it, with a better message.
  if (typeof name !== "string" || name === "") return "";
  const url = URL.parse(`http://${name}`);
  const authority = name.toLowerCase();
  if (url === null || url.pathname !== "/" || url.username !== "" || !isHostOf(url, authority)) {
    throw new TypeError(
      `name must be usable as the host of a URL (orders, orders.internal, orders:8080), got "${name}"`,
    );
  }
  return authority;
}

/** Whether a URL's host and port are those of `authority`: URLs leave their scheme's own port out. */
function isHostOf(url: URL, authority: string): boolean {
  if (url.host === authority) return true;
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  return `${url.hostname}:${port}` === authority;
}

/** Whether a call may run twice: by its own word, that of its view, its method, or its Idempotency-Key. */
function isIdempotent(options: Dispatcher.DispatchOptions, rules: CallRules): boolean {
  const said = options.idempotent ?? rules.idempotent;
  if (said !== undefined) return said;
  if (rules.retry.methods.has(options.method)) return true;
  return findHeader(options.headers, "idempotency-key") !== undefined;
}
