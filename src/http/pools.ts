/** From a node to the undici pool that holds its connections: made on first use, closed when the node has left. */
import type { Socket } from "node:net";
import { type Dispatcher, errors, Pool } from "undici";
import { servernameOf, virtualOrigin } from "../cluster/authority.ts";
import type { ResolvedOptions } from "../cluster/options.ts";
import type { Node } from "../core/node.ts";
import { createConnector } from "./connector.ts";

export class Pools {
  readonly #options: ResolvedOptions;
  readonly #pools: Map<Node, Dispatcher> = new Map();
  readonly #servernames: WeakMap<Node, string> = new WeakMap();
  readonly #onCreate: (pool: Dispatcher) => void;
  /** Connections that are being made; undici lets them be made to the end, whatever becomes of their pool. */
  readonly #connecting: Set<Socket> = new Set();

  /** @param onCreate told of each pool that is made, before its first use. */
  constructor(options: ResolvedOptions, onCreate: (pool: Dispatcher) => void) {
    this.#options = options;
    this.#onCreate = onCreate;
  }

  get(node: Node): Dispatcher {
    return this.#pools.get(node) ?? this.#create(node);
  }

  /** The name that the certificate of an https node must carry. */
  servernameOf(node: Node): string {
    let servername = this.#servernames.get(node);
    if (servername === undefined) {
      servername = servernameOf(node.endpoint.address, this.#options);
      this.#servernames.set(node, servername);
    }
    return servername;
  }

  /** Closes the connections of a node that has left; what still runs on them is cut. */
  release(node: Node): void {
    const pool = this.#pools.get(node);
    if (pool === undefined) return;
    this.#pools.delete(node);
    pool.destroy().catch(reportLater);
  }

  /**
   * Closes all connections, with `error` for what still runs on them. A graceful end is to wait for the calls
   * first: what is left then was abandoned, and undici would make a connection for each such request only to
   * find that nobody wants it.
   */
  async destroy(error: Error | null): Promise<void> {
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    const destroyed = pools.map((pool) => pool.destroy(error));
    for (const socket of this.#connecting) socket.destroy(new errors.ClientDestroyedError());
    await Promise.all(destroyed);
  }

  #create(node: Node): Dispatcher {
    const { connections, timeouts, tls, clock } = this.#options;
    const { address } = node.endpoint;
    const origin = virtualOrigin(address, this.#options);
    const options: Pool.Options = {
      connections: connections.perNode,
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: connections.idleMs,
      // A server's hint may shorten the time that a connection is kept, never lengthen it (undici.md).
      keepAliveMaxTimeout: connections.idleMs,
      // Attempts have exact deadlines of their own.
      headersTimeout: 0,
      bodyTimeout: timeouts.bodyIdleMs,
      connect: createConnector(address, {
        connectMs: timeouts.connectMs,
        tls,
        servername: this.servernameOf(node),
        clock,
        connecting: this.#connecting,
      }),
    };
    const { factory } = connections;
    const pool = factory === undefined ? new Pool(origin, options) : factory(new URL(node.key), options);
    this.#pools.set(node, pool);
    this.#onCreate(pool);
    return pool;
  }
}

/** A pool that cannot be closed is a defect; it must not pass unseen, nor end up in a call. */
function reportLater(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : new Error(String(error)));
}
