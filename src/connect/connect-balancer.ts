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
import type { ClusterOptions } from "../cluster/options.ts";
import { RpcBalancer } from "../cluster/rpc-balancer.ts";
import { inspectBy } from "../core/summary.ts";
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
export class ConnectBalancer extends RpcBalancer {
  static {
    inspectBy(ConnectBalancer.prototype, ({ cluster }, depth, options) =>
      cluster.describe("ConnectBalancer", depth, options),
    );
  }

  /** `http://` and the service's name, whatever its nodes are: what a node is called is in `host` and its address. */
  readonly baseUrl: string;
  /** Each request goes to a node; one that has no stream yet is tried on another. */
  readonly sessionManager: SessionManager;
  /** Sends unary calls that failed to another node, where they may run twice or were provably not processed. */
  readonly interceptor: Interceptor;
  /** The three of them, as `createGrpcTransport`, `createGrpcWebTransport` and `createConnectTransport` take them. */
  readonly transportOptions: ConnectTransportOptions;
  readonly #service: ConnectService;

  constructor(from: ConnectBalancerOptions | Cluster) {
    const baseUrl = baseUrlOf(from.name);
    super(from instanceof Cluster ? from : withoutUnheard(from));
    this.baseUrl = baseUrl;
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

  protected override async closeTransport(): Promise<void> {
    await this.#service.close();
  }
}

/** @throws TypeError for what would be taken and do nothing. A cluster that HTTP calls share may have it. */
function withoutUnheard(from: ConnectBalancerOptions): ConnectBalancerOptions {
  const { fallback, connections } = from;
  if (fallback !== undefined) {
    throw new TypeError(
      "fallback is of no use to connectBalancer: an interceptor before its own can give one",
    );
  }
  for (const name of ["http2", "factory"] as const) {
    if (connections?.[name] === undefined) continue;
    throw new TypeError(
      `connections.${name} is of no use to connectBalancer: its connections are always HTTP/2, of its own`,
    );
  }
  return from;
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
