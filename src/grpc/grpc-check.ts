/**
 * Client-side health checking as gRPC has it: a stream of grpc.health.v1/Watch on each node's own connection, on which the
 * node says itself when it takes calls and when it does not.
 *
 * No probe and no interval: a server that goes away says so the moment it knows. The stream runs on the connection of
 * a channel, with its credentials; while there is none there is nothing to say, and connecting tells by itself.
 */
import type { experimental } from "@grpc/grpc-js";
import type { CheckResult, CheckTarget, HealthCheck } from "../core/health-check.ts";
import type { Node } from "../core/node.ts";
import { OptionReader } from "../core/option-reader.ts";
import { HealthStream } from "./health-stream.ts";

type Connection = experimental.SubchannelInterface;

export interface GrpcCheckOptions {
  /** Whose health is asked for: a full name (`shop.Orders`). Default "": the server as a whole. */
  readonly service?: string | undefined;
}

/**
 * For `health.check`. A server without the health service counts as healthy. The streams keep a process alive, as any
 * call does, until the balancer is closed.
 *
 * @throws TypeError that names the option and the value it got.
 * @example
 * const orders = grpcBalancer({ name: "orders", discovery, health: { check: grpcCheck({ service: "shop.Orders" }) } });
 */
export function grpcCheck(options: GrpcCheckOptions = {}): HealthCheck {
  const reader = new OptionReader(options, "grpcCheck");
  const service = reader.value("service") === "" ? "" : (reader.string("service") ?? "");
  reader.end();
  return new GrpcCheck(service);
}

/** One check may serve several clusters, and a node several channels. */
export class GrpcCheck implements HealthCheck {
  readonly name = "grpcCheck";
  readonly #service: string;
  readonly #nodes: WeakMap<Node, NodeHealth> = new WeakMap();

  constructor(service: string) {
    this.#service = service;
  }

  watch(target: CheckTarget, report: (result: CheckResult) => void): Disposable {
    const { node, clock, random } = target;
    if (node === undefined) return { [Symbol.dispose]: () => {} };
    const health = this.#healthOf(node);
    health.begin({ clock, random, service: this.#service, report });
    return { [Symbol.dispose]: () => health.end() };
  }

  /** @param authority as the calls on the connection have it. */
  connected(node: Node, connection: Connection, authority: string): void {
    this.#healthOf(node).connected(connection, authority);
  }

  disconnected(node: Node, connection: Connection): void {
    this.#nodes.get(node)?.disconnected(connection);
  }

  #healthOf(node: Node): NodeHealth {
    let health = this.#nodes.get(node);
    if (health === undefined) {
      health = new NodeHealth();
      this.#nodes.set(node, health);
    }
    return health;
  }
}

/** The stream over one of a node's connections, moved to another when that one goes. */
class NodeHealth {
  /** With the `:authority` of each. */
  readonly #connections: Map<Connection, string> = new Map();
  #host: ConstructorParameters<typeof HealthStream>[0] | undefined = undefined;
  #stream: HealthStream | undefined = undefined;
  #used: Connection | undefined = undefined;

  begin(host: ConstructorParameters<typeof HealthStream>[0]): void {
    this.#host = host;
    this.#use();
  }

  end(): void {
    this.#host = undefined;
    this.#drop();
  }

  connected(connection: Connection, authority: string): void {
    this.#connections.set(connection, authority);
    this.#use();
  }

  disconnected(connection: Connection): void {
    this.#connections.delete(connection);
    if (this.#used !== connection) return;
    this.#drop();
    this.#use();
  }

  #use(): void {
    const [first] = this.#connections;
    if (this.#host === undefined || this.#stream !== undefined || first === undefined) return;
    const [connection, authority] = first;
    this.#used = connection;
    this.#stream = new HealthStream(this.#host, connection, authority);
  }

  #drop(): void {
    this.#stream?.end();
    this.#stream = undefined;
    this.#used = undefined;
  }
}
