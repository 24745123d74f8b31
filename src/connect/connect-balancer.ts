/**
 * A cluster under Connect: its HTTP/2 transports are given a session manager that sends each call to a node of its own
 * choice.
 *
 * @example
 * const orders = connectBalancer({ name: "orders", discovery: ["10.0.0.1:8080", "10.0.0.2:8080"] });
 * const client = createClient(Orders, createGrpcTransport(orders.transportOptions));
 */
import type { Interceptor } from "@connectrpc/connect";
import { Cluster } from "../cluster/cluster.ts";
import type { ExplainedCall, Explanation } from "../cluster/explain.ts";
import type { ClusterOptions } from "../cluster/options.ts";
import { withoutGrpcScheme } from "../core/address.ts";
import type { DiscoveryState } from "../core/observation.ts";
import { inspectBy, type Summary } from "../core/summary.ts";
import type { NodeView } from "../core/view.ts";
import { withGrpcAddresses } from "../discovery/grpc-addresses.ts";
import { ConnectService } from "./connect-service.ts";
import { createInterceptor } from "./interceptor.ts";
import { BalancedSessions, type SessionManager } from "./session-manager.ts";

export type ConnectBalancerOptions = ClusterOptions;

/** What a transport is given; further options may be added beside it. */
export interface ConnectTransportOptions {
  readonly baseUrl: string;
  readonly httpVersion: "2";
  readonly sessionManager: SessionManager;
  /** Not readonly, as transports declare it. An `interceptors` of your own has to hold it too. */
  readonly interceptors: Interceptor[];
}

/**
 * Balances the calls of all HTTP/2 transports of @connectrpc/connect-node that are made with its `transportOptions`.
 *
 * @param from the options of a cluster of its own, or a cluster that others use as well; that one is left open when the
 *   balancer closes.
 * @throws TypeError or RangeError that names the option and the value it got.
 */
export function connectBalancer(from: ConnectBalancerOptions | Cluster): ConnectBalancer {
  return new ConnectBalancer(from);
}

/** Made by `connectBalancer()`. */
export class ConnectBalancer implements AsyncDisposable {
  static {
    inspectBy(ConnectBalancer.prototype, ({ cluster }, depth, options) =>
      cluster.describe("ConnectBalancer", depth, options),
    );
  }

  readonly cluster: Cluster;
  /** `http://` and the service's name, whatever its nodes are: what a node is called is in `host` and its address. */
  readonly baseUrl: string;
  /** Each request goes to a node; one that has no stream yet is tried on another. */
  readonly sessionManager: SessionManager;
  /** Sends unary calls that failed to another node, where they may run twice or were provably not processed. */
  readonly interceptor: Interceptor;
  /** The three of them, as `createGrpcTransport`, `createGrpcWebTransport` and `createConnectTransport` take them. */
  readonly transportOptions: ConnectTransportOptions;
  readonly #service: ConnectService;
  readonly #ownsCluster: boolean;
  #closing: Promise<void> | undefined = undefined;

  constructor(from: ConnectBalancerOptions | Cluster) {
    this.baseUrl = baseUrlOf(from.name);
    this.#ownsCluster = !(from instanceof Cluster);
    this.cluster =
      from instanceof Cluster ? from : new Cluster({ ...from, discovery: withGrpcAddresses(from.discovery) });
    this.#service = new ConnectService(this.cluster);
    this.sessionManager = new BalancedSessions(this.#service, this.baseUrl);
    this.interceptor = createInterceptor(this.#service);
    this.transportOptions = {
      baseUrl: this.baseUrl,
      httpVersion: "2",
      sessionManager: this.sessionManager,
      interceptors: [this.interceptor],
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

  /** See `Cluster.ready`. */
  ready(options?: { readonly timeoutMs?: number }): Promise<void> {
    return this.cluster.ready(options);
  }

  /** See `Cluster.drain`. */
  drain(address: string): boolean {
    return this.cluster.drain(withoutGrpcScheme(address));
  }

  /** See `Cluster.undrain`. */
  undrain(address: string): boolean {
    return this.cluster.undrain(withoutGrpcScheme(address));
  }

  /** See `Cluster.explain`. */
  explain(call?: ExplainedCall): Explanation {
    return this.cluster.explain(call);
  }

  /** Plain data for logs: what `nodes` says, and how the service is. */
  toJSON(): Summary {
    return this.cluster.toJSON();
  }

  /** Takes no new calls, waits for those under way, streams included, and closes the connections. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    await this.#service.close();
    if (this.#ownsCluster) await this.cluster.close();
  }
}

/** @throws TypeError for a name that cannot be the host of a URL. */
function baseUrlOf(name: string): string {
  // The cluster's options refuse it, with a better message.
  if (typeof name !== "string" || name === "") return "";
  const url = URL.parse(`http://${name}`);
  if (url === null || url.pathname !== "/" || url.username !== "" || url.search !== "") {
    throw new TypeError(
      `name must be usable as the host of a URL (orders, orders.internal, orders:8080), got "${name}"`,
    );
  }
  return url.origin;
}
