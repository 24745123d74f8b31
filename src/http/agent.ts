/**
 * One dispatcher for many services: a call goes to the Balancer that its URL's host names, and any other call
 * straight through.
 *
 * @example
 * const agent = new BalancerAgent({
 *   defaults: { timeouts: { totalMs: 2_000 } },
 *   services: { orders: { discovery: ["http://10.0.0.1:8080", "http://10.0.0.2:8080"] } },
 * });
 * const uninstall = agent.install();
 * const response = await fetch("http://orders/v1/orders/42");
 */
import { Agent, type Dispatcher, Dispatcher1Wrapper, Pool } from "undici";
import { Cluster } from "../cluster/cluster.ts";
import { BalancerError } from "../core/errors.ts";
import { OptionReader, show } from "../core/option-reader.ts";
import { inspectBy, type Summary } from "../core/summary.ts";
import { Balancer } from "./balancer.ts";
import { ClosableDispatcher } from "./closable-dispatcher.ts";
import { forwardEvents } from "./forward-events.ts";
import { installGlobally } from "./global-dispatcher.ts";
import { checkDefaults, createService, type ServiceOptions } from "./service-options.ts";

export interface BalancerAgentOptions {
  /**
   * The services by the host of their URLs: `orders`, `orders.internal`, `users:8443`; a host with a port takes the
   * calls to that port only, and before one without. Each is the options of a Balancer without `name`, or a Balancer
   * or Cluster that others use as well and that is left open when the agent closes. They are made at once, so that
   * discovery has begun when the first call comes.
   */
  readonly services?: Readonly<Record<string, ServiceOptions | Balancer | Cluster>> | undefined;
  /**
   * Options for every service that is given as options. What the service has itself wins; `timeouts`, `retry`,
   * `retry.budget`, `health`, `health.ejection`, `connections`, `limits`, `limits.adaptive`, `breaker`, `breaker.rate`
   * and `tls` are merged field by field, everything else is taken whole. One discovery source may stand here for all.
   */
  readonly defaults?: ServiceOptions | undefined;
  /**
   * Asked for a host that is not one of the services: in lower case, with its port unless that is the scheme's own.
   * Undefined means straight through. It answers at once, and once for a host: the answer is kept, of the last 1,000
   * such hosts and of the last 1,000 services; a service that is one too many closes when its calls have ended.
   * What it throws is the call's error, and it is asked again by the next call.
   */
  readonly resolve?: ((host: string) => ServiceOptions | Balancer | Cluster | undefined) | undefined;
  /**
   * Takes the calls to all other hosts, an EnvHttpProxyAgent for instance, and is left open when the agent closes.
   * Default: an undici Agent of its own.
   */
  readonly passThrough?: Dispatcher | undefined;
}

/** A service more than `mostResolved` closes the oldest; far more than a program calls, far less than fill a heap. */
const mostResolved = 1_000;
/** Hosts and origins that are remembered; asking again costs a parse of the URL, or a call of `resolve`. */
const mostRemembered = 1_000;

/**
 * Works wherever a dispatcher does. A redirect from one service to another goes to that one's balancer, and to an
 * unknown host straight through.
 */
export class BalancerAgent extends ClosableDispatcher {
  static {
    inspectBy(BalancerAgent.prototype, (agent) => {
      const services = [...agent.services.keys()].join(", ") || "no services yet";
      return `BalancerAgent of ${services}${agent.closed ? " (closed)" : ""}`;
    });
  }

  private readonly defaults: ServiceOptions;
  private readonly resolveHost: BalancerAgentOptions["resolve"];
  private readonly passThrough: Dispatcher;
  /** For handlers of undici's former interface, which Balancers understand and undici's own dispatchers do not. */
  private readonly formerPassThrough: Dispatcher;
  /** By host. */
  private readonly balancers: Map<string, Balancer> = new Map();
  /** What closes with the agent. */
  private readonly owned: Set<Dispatcher> = new Set();
  /** Of the agent's own pass-through: undici's Agent forgets those that it closes, and cannot destroy them any more. */
  private readonly pools: Set<Pool> = new Set();
  /** The hosts of services that `resolve` named, the oldest first. */
  private readonly resolved: Set<string> = new Set();
  /** The hosts that `resolve` did not know, the oldest first. */
  private readonly unknown: Set<string> = new Set();
  private readonly targets: Map<string, Dispatcher> = new Map();
  /** The last call's origin and where it went: most programs call one service many times over. */
  private lastOrigin: string | undefined = undefined;
  private lastTarget: Dispatcher;
  private readonly forwarded: Map<Dispatcher, () => void> = new Map();
  private readonly uninstalls: Set<() => void> = new Set();

  /** @throws TypeError or RangeError that names the option and the value it got: `services.orders.retry.attempts`. */
  constructor(options: BalancerAgentOptions = {}) {
    super(undefined);
    const reader = new OptionReader(options, "");
    const services = reader.value("services") ?? {};
    const defaults = reader.value("defaults") ?? {};
    this.resolveHost = reader.function("resolve");
    const passThrough = reader.object<Dispatcher>("passThrough", ["dispatch", "on", "off"]);
    reader.end();
    if (!isOptions(services)) throw new TypeError(`services must be an object, got ${show(services)}`);
    if (!isOptions(defaults)) throw new TypeError(`defaults must be an object, got ${show(defaults)}`);
    checkDefaults(defaults);
    this.defaults = defaults;
    this.passThrough =
      passThrough ?? new Agent({ factory: (origin, options) => this.createPool(origin, options) });
    if (passThrough === undefined) this.owned.add(this.passThrough);
    this.formerPassThrough = new Dispatcher1Wrapper(this.passThrough);
    this.lastTarget = this.passThrough;
    this.forward(this.passThrough);
    try {
      for (const [host, given] of Object.entries(services)) this.add(host, `services.${host}`, given);
    } catch (error) {
      this.destroy(null, () => {});
      throw error;
    }
  }

  /** The services by host, in lower case: those of the options, then those that `resolve` has named so far. */
  get services(): ReadonlyMap<string, Balancer> {
    return this.balancers;
  }

  /** Plain data for logs: each service as its balancer's `toJSON`. The options, secrets among them, are left out. */
  toJSON(): { readonly closed: boolean; readonly services: Readonly<Record<string, Summary>> } {
    const services = Array.from(this.balancers, ([host, balancer]) => [host, balancer.toJSON()] as const);
    return { closed: this.closed, services: Object.fromEntries(services) };
  }

  /**
   * The Balancer of a host; `resolve` is asked when it is none of the services.
   *
   * @throws TypeError when there is none, and what `resolve` throws.
   */
  balancer(host: string): Balancer {
    const key = String(host).toLowerCase();
    const balancer = this.balancers.get(key) ?? (this.closed ? undefined : this.resolveService(key));
    if (balancer !== undefined) return balancer;
    const known = [...this.balancers.keys()].slice(0, 10).join(", ") || "none";
    throw new TypeError(`there is no service ${show(host)}; services: ${known}`);
  }

  /**
   * Resolves when every service has a node that may be called.
   *
   * @param options `timeoutMs`: how long to wait, default 10,000.
   * @throws BalancerError of the first service that has none in time: ERR_NO_NODE; ERR_CLOSED.
   */
  async ready(options?: { readonly timeoutMs?: number }): Promise<void> {
    if (this.closed) throw this.closedError();
    await Promise.all(Array.from(this.balancers.values(), (balancer) => balancer.ready(options)));
  }

  /**
   * Makes this the dispatcher of the whole process: for undici, and for the built-in `fetch`, `WebSocket` and
   * `EventSource` of Node 22, 24 and 26.
   *
   * @returns a function that puts back what was there before. Installs may be undone in any order: while a later
   *   one holds, whoever made it, it stays, and what comes back after it is never an agent that was undone. Only
   *   code that remembers this agent by itself and sets it again later brings it back. Closing the agent undoes
   *   all of its installs.
   */
  install(): () => void {
    if (this.closed) throw this.closedError();
    const undo = installGlobally(this);
    const uninstall = () => {
      this.uninstalls.delete(uninstall);
      undo();
    };
    this.uninstalls.add(uninstall);
    return uninstall;
  }

  /**
   * @returns false when the connections that the call could have are all busy; "drain" is emitted when they no
   *   longer are.
   * @throws TypeError for a handler that is none. Everything else reaches the handler as an error.
   */
  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    if (typeof handler !== "object" || handler === null) throw new TypeError("handler must be an object");
    let target = this.lastTarget;
    if (options.origin !== this.lastOrigin || this.closed) {
      try {
        if (this.closed) throw this.closedError();
        target = this.targetOf(options.origin);
      } catch (error) {
        report(handler, error as Error);
        return false;
      }
    }
    if (target === this.passThrough && handler.onRequestStart === undefined) {
      return this.formerPassThrough.dispatch(options, handler);
    }
    return target.dispatch(options, handler);
  }

  /** Balancers, clusters and a `passThrough` that it was given stay open; its installs are undone. */
  protected override closeOnce(): Promise<void> {
    return this.end((dispatcher) => dispatcher.close());
  }

  protected override destroyOnce(error: Error | null): Promise<void> {
    return this.end((dispatcher) => dispatcher.destroy(error), error);
  }

  private async end(one: (dispatcher: Dispatcher) => Promise<void>, error?: Error | null): Promise<void> {
    for (const uninstall of [...this.uninstalls]) uninstall();
    const pools = error === undefined ? [] : Array.from(this.pools, (pool) => pool.destroy(error));
    await Promise.all([...Array.from(this.owned, one), ...pools]);
    for (const dispatcher of [...this.forwarded.keys()]) this.forwarded.get(dispatcher)?.();
  }

  private closedError(): BalancerError {
    return new BalancerError("ERR_CLOSED", "agent", "the agent is closed");
  }

  /** Where calls to an origin go; what is no origin is left for the pass-through to refuse. */
  private targetOf(origin: string | URL | undefined): Dispatcher {
    // A URL object may change later.
    if (typeof origin !== "string") return this.balancerOf(origin ?? null) ?? this.passThrough;
    let target = this.targets.get(origin);
    if (target === undefined) {
      target = this.balancerOf(URL.parse(origin)) ?? this.passThrough;
      if (this.targets.size >= mostRemembered) this.targets.clear();
      this.targets.set(origin, target);
    }
    this.lastOrigin = origin;
    this.lastTarget = target;
    return target;
  }

  private balancerOf(url: URL | null): Balancer | undefined {
    if (!(url instanceof URL) || url.host === "") return undefined;
    const port = url.port || (url.protocol === "https:" ? "443" : "80");
    return (
      this.balancers.get(`${url.hostname}:${port}`) ??
      this.balancers.get(url.host) ??
      this.resolveService(url.host)
    );
  }

  private resolveService(host: string): Balancer | undefined {
    if (this.resolveHost === undefined || this.unknown.has(host)) return undefined;
    const given: unknown = this.resolveHost(host);
    if (given === undefined) {
      dropOldest(this.unknown, mostRemembered);
      this.unknown.add(host);
      return undefined;
    }
    const balancer = this.add(host, `resolve("${host}")`, given);
    for (const old of dropOldest(this.resolved, mostResolved)) this.forget(old);
    this.resolved.add(host);
    return balancer;
  }

  private add(host: string, path: string, given: unknown): Balancer {
    const key = host.toLowerCase();
    if (this.balancers.has(key))
      throw new TypeError(`${path} is given twice: case makes no difference in a host`);
    if (typeof (given as Partial<PromiseLike<unknown>> | null)?.then === "function") {
      throw new TypeError(`${path} must be known at once, and is a promise`);
    }
    if (!isOptions(given)) {
      throw new TypeError(
        `${path} must be an object of options, a Balancer or a Cluster, got ${show(given)}`,
      );
    }
    if ((given instanceof Balancer || given instanceof Cluster) && given.name.toLowerCase() !== key) {
      throw new TypeError(`${path} is named "${given.name}", and takes no calls to another host`);
    }
    const balancer =
      given instanceof Balancer
        ? given
        : given instanceof Cluster
          ? new Balancer(given)
          : createService(host, path, given, this.defaults);
    if (balancer !== given) this.owned.add(balancer);
    this.balancers.set(key, balancer);
    this.forward(balancer);
    return balancer;
  }

  /** Lets a service go that `resolve` named; it will be asked again. */
  private forget(host: string): void {
    const balancer = this.balancers.get(host);
    if (balancer === undefined) return;
    this.balancers.delete(host);
    this.targets.clear();
    this.lastOrigin = undefined;
    this.lastTarget = this.passThrough;
    const stopForwarding = this.forwarded.get(balancer);
    if (!this.owned.has(balancer)) {
      stopForwarding?.();
      return;
    }
    // It stays among the owned ones meanwhile, so that closing the agent waits for it and destroying ends it.
    balancer.close(() => {
      this.owned.delete(balancer);
      stopForwarding?.();
    });
  }

  /** What undici's Agent makes for each origin by itself. */
  private createPool(origin: string | URL, options: object): Pool {
    const pool = new Pool(origin, options);
    this.pools.add(pool);
    // The Agent closes it after its last connection, as the next listener to hear of that.
    const forget = () => queueMicrotask(() => pool.closed && this.pools.delete(pool));
    return pool.on("disconnect", forget).on("connectionError", forget);
  }

  private forward(from: Dispatcher): void {
    const stop = forwardEvents(from, this);
    this.forwarded.set(from, () => {
      stop();
      this.forwarded.delete(from);
    });
  }
}

function isOptions(given: unknown): given is object {
  return typeof given === "object" && given !== null && !Array.isArray(given);
}

/** Makes room for one more in a set that keeps its order; returns what had to go. */
function dropOldest(set: Set<string>, most: number): readonly string[] {
  const dropped = [...set.keys().take(Math.max(0, set.size - most + 1))];
  for (const oldest of dropped) set.delete(oldest);
  return dropped;
}

/** Handlers of undici's former interface, which the built-in fetch of Node 22 and 24 hands over, are told by onError. */
function report(handler: Dispatcher.DispatchHandler, error: Error): void {
  const { wrapHandler } = Dispatcher1Wrapper as unknown as {
    wrapHandler(handler: object): Dispatcher.DispatchHandler;
  };
  wrapHandler(handler).onResponseError?.(null as unknown as Dispatcher.DispatchController, error);
}
