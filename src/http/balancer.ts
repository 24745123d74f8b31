/**
 * The undici Dispatcher over a cluster: every call goes to the node that is best for it now.
 *
 * @example
 * await using orders = new Balancer({ name: "orders", discovery: ["http://127.0.0.1:8080", "http://127.0.0.1:8081"] });
 * const response = await orders.fetch("/v1/orders/42");
 */
import type { EventEmitter } from "node:events";
import { Dispatcher, Dispatcher1Wrapper } from "undici";
import { type CallRules, resolveRules, type WithOptions } from "../cluster/call-rules.ts";
import { Cluster } from "../cluster/cluster.ts";
import type { ExplainedCall, Explanation } from "../cluster/explain.ts";
import type { ClusterOptions } from "../cluster/options.ts";
import { BalancerError } from "../core/errors.ts";
import type { Node } from "../core/node.ts";
import { inspectBy, type Summary } from "../core/summary.ts";
import type { NodeView } from "../core/view.ts";
import type { DiscoveryState } from "../discovery/guard.ts";
import type { ShadowReport } from "../policy/shadow.ts";
import { Exchange, type ExchangeHost } from "./exchange.ts";
import { createFetch } from "./fetch.ts";
import { findHeader, withLastingHeaders } from "./headers.ts";
import { Pools } from "./pools.ts";
import { ReplayMemory } from "./replay.ts";
import { BalancerView } from "./view.ts";

export type BalancerOptions = ClusterOptions;

type Interceptor = Dispatcher.DispatcherComposeInterceptor;

/** Missing in undici's types. */
const { wrapHandler } = Dispatcher1Wrapper as unknown as {
  wrapHandler(handler: object): Dispatcher.DispatchHandler;
};

/**
 * Works wherever a dispatcher does. It takes calls without an origin, or whose host is the service's name; any
 * other origin is a TypeError, so that a redirect never sends a call of one service to another one's node.
 *
 * Fields are private by type only: `compose()` returns a Proxy, on which `#private` fields cannot be read.
 */
export class Balancer extends Dispatcher implements AsyncDisposable {
  static {
    inspectBy(Balancer.prototype, ({ cluster }, depth, options) =>
      cluster.describe("Balancer", depth, options),
    );
  }

  readonly cluster: Cluster;
  /** WHATWG fetch on a path of this service, or on a URL whose host is its name. Bound. */
  readonly fetch: typeof globalThis.fetch;

  private readonly host: ExchangeHost;
  private readonly ownsCluster: boolean;
  private readonly authority: string;
  /** The origin that was found right last, and whether it is https: a program has few. */
  private knownOrigin: string | URL | undefined = undefined;
  private knownSecure = false;
  private active = 0;
  private whenIdle: (() => void) | undefined = undefined;
  private closing: Promise<void> | undefined = undefined;
  private destroying: Promise<void> | undefined = undefined;
  private readonly onNodeGone: (node: Node) => void;

  /**
   * @param from the options of a cluster of its own, or a cluster that others use as well; that one is left
   *   open when the balancer closes.
   * @throws TypeError or RangeError that names the option and the value it got.
   */
  constructor(from: BalancerOptions | Cluster) {
    super();
    this.ownsCluster = !(from instanceof Cluster);
    this.cluster = from instanceof Cluster ? from : new Cluster(from);
    try {
      this.authority = authorityOf(this.cluster.name);
    } catch (error) {
      if (this.ownsCluster) this.cluster.destroy();
      throw error;
    }
    const pools = new Pools(this.cluster.options, (pool) => this.forwardEvents(pool));
    this.host = {
      cluster: this.cluster,
      pools,
      replayMemory: new ReplayMemory(),
      endless: new Set(),
      exchangeEnded: () => this.exchangeEnded(),
    };
    this.onNodeGone = (node) => pools.release(node);
    this.cluster.nodeSet.goneListeners.add(this.onNodeGone);
    this.fetch = createFetch(this, this.authority);
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

  get closed(): boolean {
    return this.closing !== undefined;
  }

  get destroyed(): boolean {
    return this.destroying !== undefined;
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
      const secure = this.checkOrigin(options.origin);
      if (this.closing !== undefined)
        throw new BalancerError("ERR_CLOSED", this.name, "the balancer is closed");
      const lasting = withLastingHeaders(options);
      exchange = new Exchange(this.host, lasting, modern, isIdempotent(lasting, rules), secure, rules);
    } catch (error) {
      modern.onResponseError?.(null as unknown as Dispatcher.DispatchController, error as Error);
      return false;
    }
    this.active++;
    exchange.begin();
    return exchange.accepted;
  }

  override compose(interceptors: Interceptor[]): Dispatcher.ComposedDispatcher;
  override compose(...interceptors: Interceptor[]): Dispatcher.ComposedDispatcher;
  override compose(...interceptors: (Interceptor | Interceptor[])[]): Dispatcher.ComposedDispatcher {
    const composed = super.compose(...interceptors.flat());
    const fetch = createFetch(composed, this.authority);
    // What is bound to the plain balancer would go around the interceptors.
    return new Proxy(composed, {
      get: (target, key) => (key === "fetch" ? fetch : Reflect.get(target, key)),
    });
  }

  /** Takes no new calls, waits for those under way to end, and closes all connections. */
  override close(): Promise<void>;
  override close(callback: () => void): void;
  override close(callback?: () => void): Promise<void> | undefined {
    this.closing ??= this.closeGracefully();
    return answer(this.closing, callback);
  }

  /** Ends at once: calls under way fail with `error`. */
  override destroy(): Promise<void>;
  override destroy(error: Error | null): Promise<void>;
  override destroy(callback: () => void): void;
  override destroy(error: Error | null, callback: () => void): void;
  override destroy(
    errorOrCallback?: Error | null | (() => void),
    callback?: () => void,
  ): Promise<void> | undefined {
    const error = typeof errorOrCallback === "function" ? null : (errorOrCallback ?? null);
    this.destroying ??= this.destroyNow(error);
    return answer(this.destroying, typeof errorOrCallback === "function" ? errorOrCallback : callback);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  private async closeGracefully(): Promise<void> {
    if (this.active > 0) {
      await new Promise<void>((resolve) => {
        this.whenIdle = resolve;
      });
    }
    await this.host.pools.destroy(null);
    await this.release();
  }

  private async destroyNow(error: Error | null): Promise<void> {
    const reason = error ?? new BalancerError("ERR_CLOSED", this.name, "the balancer was destroyed");
    this.closing ??= this.closeGracefully();
    for (const exchange of this.cluster.deadlines.entries()) {
      if (exchange instanceof Exchange && exchange.belongsTo(this.host)) exchange.cancel(reason);
    }
    for (const exchange of [...this.host.endless]) exchange.cancel(reason);
    if (this.ownsCluster) this.cluster.destroy(reason);
    await this.host.pools.destroy(reason);
    await this.closing;
  }

  private async release(): Promise<void> {
    this.cluster.nodeSet.goneListeners.delete(this.onNodeGone);
    if (this.ownsCluster) await this.cluster.close();
  }

  private exchangeEnded(): void {
    this.active--;
    if (this.active === 0) this.whenIdle?.();
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

  /** Passes on what undici's own agents pass on: connections made, lost and failed, and room for more calls. */
  private forwardEvents(pool: Dispatcher): void {
    const from: EventEmitter = pool;
    const to: EventEmitter = this as EventEmitter;
    for (const event of ["drain", "connect", "disconnect", "connectionError"]) {
      from.on(event, (origin: URL, targets: readonly Dispatcher[] = [], error?: Error) => {
        to.emit(event, origin, [this, ...targets], error);
      });
    }
  }
}

/** Undici's two forms: with a callback, or with a promise. */
export function answer(done: Promise<void>, callback: (() => void) | undefined): Promise<void> | undefined {
  if (callback === undefined) return done;
  if (typeof callback !== "function") throw new TypeError("callback must be a function");
  done.then(
    () => callback(),
    () => callback(),
  );
  return undefined;
}

/** The service's name as the host of a URL. @throws TypeError if it cannot be one. */
function authorityOf(name: string): string {
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
