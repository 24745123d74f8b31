/**
 * From a node to the pool of its connections: made on first use, closed when the node has left or is not called any
 * more, and swept.
 */
import type { Socket } from "node:net";
import { type Client, type Dispatcher, errors, type Pool } from "undici";
import { servernameOf, virtualOrigin } from "../cluster/authority.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { ConnectionLimits } from "../cluster/connection-limits.ts";
import type { ResolvedOptions } from "../cluster/options.ts";
import type { Timer } from "../core/clock.ts";
import type { Node } from "../core/node.ts";
import { longestTimerMs } from "../core/option-reader.ts";
import { outcomeOfTransportError } from "./classify.ts";
import type { Connection } from "./connection.ts";
import { type Connect, createConnector, type Http2 } from "./connector.ts";
import { Heartbeat } from "./heartbeat.ts";
import { ConnectRestarted, NodePool } from "./node-pool.ts";
import { PoolDispatcher } from "./pool-dispatcher.ts";

/** How often idle and aged connections are looked for besides each change of the set. */
const sweepMs = 30_000;

/**
 * What undici lets a peer send ahead on one HTTP/2 stream. With room for as much on every stream, bodies that are not
 * read hold up no other calls on their connection: with undici's own 512 KiB, two of them would stop all. Go's client
 * does the same, with 1 GiB for a connection.
 */
const streamWindow = 256 * 1_024;
/** RFC 9113, section 6.9.1. */
const largestWindow = 2 ** 31 - 1;

/** What takes the calls of one node: our pool, or a dispatcher that `connections.factory` made. */
export type Carrier = NodePool | Dispatcher;

export class Pools {
  readonly #cluster: Cluster;
  readonly #options: ResolvedOptions;
  readonly #pools: Map<Node, NodePool> = new Map();
  readonly #made: Map<Node, Dispatcher> = new Map();
  readonly #limits: ConnectionLimits;
  readonly #heartbeat: Heartbeat;
  readonly #nodesOfConnections: WeakMap<Connection, Node> = new WeakMap();
  readonly #servernames: WeakMap<Node, string> = new WeakMap();
  readonly #onCreate: (pool: Carrier) => void;
  /** Ends what the cluster was told to tell or ask. */
  readonly #detach: () => void;
  /** Connections that are being made. */
  readonly #connecting: Set<Socket> = new Set();
  #sweepTimer: Timer | undefined = undefined;

  /** @param onCreate told of each pool that is made, before its first use. */
  constructor(cluster: Cluster, onCreate: (pool: Carrier) => void) {
    this.#cluster = cluster;
    this.#options = cluster.options;
    this.#onCreate = onCreate;
    const { connections, clock } = cluster.options;
    this.#limits = new ConnectionLimits(connections.total, connections.connecting);
    this.#heartbeat = new Heartbeat(connections.pingMs, connections.pingTimeoutMs, clock, {
      heard: (connection) => this.#poolOf(connection)?.cleared(connection),
      died: (connection, error) => this.#blame(connection, error),
    });
    this.#detach = this.#attach();
    // The nodes of a cluster that others use already.
    if (connections.minPerNode > 0) this.#updated();
  }

  get(node: Node): Carrier {
    return this.#pools.get(node) ?? this.#made.get(node) ?? this.#create(node);
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
    const error = new errors.ClientDestroyedError();
    this.#pools.get(node)?.destroy(error);
    this.#pools.delete(node);
    this.#made.get(node)?.destroy().catch(reportLater);
    this.#made.delete(node);
    this.#stopIfEmpty();
  }

  /**
   * Closes all connections, with `error` for what still runs on them. A graceful end is to wait for the calls
   * first: what is left then was abandoned.
   */
  async destroy(error: Error | null): Promise<void> {
    this.#detach();
    this.#heartbeat.close();
    const made = [...this.#made.values()];
    this.#made.clear();
    const reason = error ?? new errors.ClientDestroyedError();
    for (const pool of this.#pools.values()) pool.destroy(reason);
    this.#pools.clear();
    this.#stopIfEmpty();
    for (const socket of this.#connecting) socket.destroy(new errors.ClientDestroyedError());
    await Promise.all(made.map((dispatcher) => dispatcher.destroy(error)));
  }

  #attach(): () => void {
    const { nodeSet, tls, updateListeners, connectionSources, connectionCounters } = this.#cluster;
    const onUpdate = () => this.#updated();
    const onRenewal = () => this.#renewed();
    const onGone = (node: Node) => this.release(node);
    const onOutageEnd = () => this.#beginAnew();
    const source = (node: Node) => this.#dispatcherTo(node);
    // Nothing is known of the connections of a dispatcher of the program's own.
    const counter = (node: Node) => this.#pools.get(node)?.counts;
    updateListeners.add(onUpdate);
    tls.listeners.add(onRenewal);
    nodeSet.goneListeners.add(onGone);
    nodeSet.outageListeners.add(onOutageEnd);
    connectionSources.add(source);
    connectionCounters.add(counter);
    return () => {
      updateListeners.delete(onUpdate);
      tls.listeners.delete(onRenewal);
      nodeSet.goneListeners.delete(onGone);
      nodeSet.outageListeners.delete(onOutageEnd);
      connectionSources.delete(source);
      connectionCounters.delete(counter);
    };
  }

  /** For requests that belong to no call. */
  #dispatcherTo(node: Node): Dispatcher {
    const carrier = this.get(node);
    return carrier instanceof NodePool ? new PoolDispatcher(carrier, this.#options.clock) : carrier;
  }

  #create(node: Node): Carrier {
    const { factory } = this.#options.connections;
    if (factory !== undefined) {
      const made = factory(new URL(node.key), this.#undiciOptions(node));
      this.#made.set(node, made);
      this.#onCreate(made);
      return made;
    }
    const { http2, minPerNode } = this.#options.connections;
    const pool = this.#createPool(node, http2, minPerNode);
    this.#pools.set(node, pool);
    this.#onCreate(pool);
    this.#sweepTimer ??= this.#options.clock.schedule(() => this.#sweepInTurn(), sweepMs);
    return pool;
  }

  #createPool(node: Node, http2: Http2, minPerNode: number): NodePool {
    const { connections, name, clock, random } = this.#options;
    const { address } = node.endpoint;
    return new NodePool({
      service: name,
      address: address.text,
      origin: virtualOrigin(address, this.#options),
      isSecure: address.scheme === "https",
      servername: address.scheme === "https" ? this.servernameOf(node) : undefined,
      http2,
      perNode: connections.perNode,
      connectingPerNode: connections.connectingPerNode,
      queue: connections.queue,
      queueMs: connections.queueMs,
      counted: (change) => {
        this.#cluster.waitingForConnection += change;
      },
      idleMs: connections.idleMs,
      maxAgeMs: connections.maxAgeMs,
      maxStreams: connections.maxStreams,
      minPerNode,
      client: {
        ...this.#clientOptions(),
        h2Options: {
          maxConcurrentStreams: connections.maxStreams,
          pingInterval: connections.pingMs,
          connectionWindowSize: Math.min(connections.maxStreams * streamWindow, largestWindow),
        },
      },
      limits: this.#limits,
      clock,
      random,
      connect: this.#createConnector(node, http2),
      createUpgradePool: () => this.#createPool(node, "never", 0),
      makeRoom: () => this.#makeRoom(),
      watch: (connection) => {
        this.#nodesOfConnections.set(connection, node);
        this.#heartbeat.add(connection);
      },
    });
  }

  /** What undici's own Pool would need to do the same. */
  #undiciOptions(node: Node): Pool.Options {
    const { connections } = this.#options;
    const connect = this.#createConnector(node, "never");
    return {
      ...this.#clientOptions(),
      connections: connections.perNode,
      allowH2: false,
      connect: (_given, callback) => connect(callback as Parameters<Connect>[0]),
    };
  }

  #clientOptions(): Client.Options {
    const { connections } = this.#options;
    return {
      pipelining: 1,
      // Connections that are to be kept ready are closed by the sweep, which counts them.
      keepAliveTimeout: connections.minPerNode > 0 ? longestTimerMs : connections.idleMs,
      // A server's hint may shorten the time that a connection is kept, never lengthen it (undici.md).
      keepAliveMaxTimeout: connections.idleMs,
      // Calls have exact deadlines of their own.
      headersTimeout: 0,
      bodyTimeout: 0,
    };
  }

  /** Closes an idle connection of some other node, to make room within `connections.total`. */
  #makeRoom(): void {
    for (const spare of [true, false]) {
      for (const pool of this.#pools.values()) if (pool.closeIdle(spare)) return;
    }
  }

  #createConnector(node: Node, http2: Http2): Connect {
    return createConnector(node.endpoint.address, {
      connectMs: this.#options.timeouts.connectMs,
      tls: this.#cluster.tls.current,
      servername: this.servernameOf(node),
      http2,
      clock: this.#options.clock,
      connecting: this.#connecting,
    });
  }

  #poolOf(connection: Connection): NodePool | undefined {
    const node = this.#nodesOfConnections.get(connection);
    return node === undefined ? undefined : this.#pools.get(node);
  }

  /** A dead connection under a call is that call's failure; without one, nobody else would tell. */
  #blame(connection: Connection, error: Error): void {
    const node = this.#nodesOfConnections.get(connection);
    if (node === undefined || connection.active > 0) return;
    this.#cluster.nodeSet.blamed(node, outcomeOfTransportError(error, true), this.#options.clock.now());
  }

  /**
   * An outage of all nodes is over. A SYN that was lost in it is sent again after a second, by which time the connection
   * would have failed, and with it the calls that wait for it.
   */
  #beginAnew(): void {
    for (const socket of this.#connecting) socket.destroy(new ConnectRestarted());
  }

  /** The certificates changed. */
  #renewed(): void {
    for (const [node, pool] of this.#pools) {
      if (node.endpoint.address.scheme !== "https") continue;
      const connect = this.#createConnector(node, this.#options.connections.http2);
      pool.renew(connect, this.#createConnector(node, "never"));
    }
  }

  /** The set of nodes changed. */
  #updated(): void {
    const { minPerNode, factory } = this.#options.connections;
    if (minPerNode > 0 && factory === undefined) {
      for (const node of this.#cluster.nodeSet.nodes.values()) {
        if (node.drainCause === undefined) this.get(node);
      }
    }
    this.#sweep();
  }

  #sweepInTurn(): void {
    this.#sweepTimer = undefined;
    this.#sweep();
    if (this.#pools.size > 0) {
      this.#sweepTimer = this.#options.clock.schedule(() => this.#sweepInTurn(), sweepMs);
    }
  }

  #sweep(): void {
    const { clock, connections } = this.#options;
    const now = clock.now();
    for (const [node, pool] of this.#pools) {
      if (node.removedAt !== undefined) pool.closeAllIdle();
      else pool.sweep(now);
      if (pool.isEmpty && now - pool.usedAt >= connections.idleMs && connections.minPerNode === 0) {
        this.release(node);
      }
    }
  }

  #stopIfEmpty(): void {
    if (this.#pools.size > 0) return;
    this.#sweepTimer?.cancel();
    this.#sweepTimer = undefined;
  }
}

/** A dispatcher that cannot be closed is a defect; it must not pass unseen, nor end up in a call. */
function reportLater(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : new Error(String(error)));
}
