/** The connections of a whole service, by node: made when a node is first called or joins, let go of when it has left. */
import { servernameOf, virtualOrigin } from "../cluster/authority.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { ConnectionLimits } from "../cluster/connection-limits.ts";
import type { Node } from "../core/node.ts";
import { closedOnOurSide } from "./node-session.ts";
import { drainedTooLong, NodeSessions } from "./node-sessions.ts";
import { SessionDispatcher } from "./session-dispatcher.ts";

export class Sessions {
  readonly #cluster: Cluster;
  readonly #byNode: Map<Node, NodeSessions> = new Map();
  readonly #limits: ConnectionLimits;
  readonly #detach: () => void;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    const { nodeSet, tls, connectionCounters, connectionSources, updateListeners } = cluster;
    const { total, connecting, minPerNode } = cluster.options.connections;
    this.#limits = new ConnectionLimits(total, connecting);
    const onUpdate = (): void => this.#updated();
    const onRenewal = (): void => this.#retireAll();
    const onGone = (node: Node): void => this.#release(node);
    const counter = (node: Node) => this.#byNode.get(node)?.counts;
    tls.listeners.add(onRenewal);
    nodeSet.goneListeners.add(onGone);
    const source = (node: Node) => new SessionDispatcher(this.of(node));
    connectionCounters.add(counter);
    connectionSources.add(source);
    if (minPerNode > 0) {
      updateListeners.add(onUpdate);
      // The nodes of a cluster that others use already.
      this.#updated();
    }
    this.#detach = () => {
      updateListeners.delete(onUpdate);
      tls.listeners.delete(onRenewal);
      nodeSet.goneListeners.delete(onGone);
      connectionCounters.delete(counter);
      connectionSources.delete(source);
    };
  }

  of(node: Node): NodeSessions {
    let sessions = this.#byNode.get(node);
    if (sessions === undefined) {
      sessions = this.#create(node);
      // An attempt that was held up may come to it when the node has left, and is told so.
      if (this.#cluster.nodeSet.nodes.get(node.key) === node) this.#byNode.set(node, sessions);
      else sessions.destroy(drainedTooLong(node.key));
    }
    return sessions;
  }

  close(): void {
    this.#detach();
    for (const sessions of this.#byNode.values()) sessions.destroy(closedOnOurSide);
    this.#byNode.clear();
  }

  #create(node: Node): NodeSessions {
    const { options, tls } = this.#cluster;
    const { address } = node.endpoint;
    return new NodeSessions({
      ...options.connections,
      connectMs: options.timeouts.connectMs,
      clock: options.clock,
      random: options.random,
      address,
      origin: virtualOrigin(address, options),
      servername: servernameOf(address, options),
      currentTls: () => tls.current,
      limits: this.#limits,
      makeRoom: () => this.#makeRoom(),
      counted: (change) => {
        this.#cluster.waitingForConnection += change;
      },
    });
  }

  /** The set of nodes is another. */
  #updated(): void {
    for (const node of this.#cluster.nodeSet.nodes.values()) {
      if (node.drainCause === undefined) this.of(node).keep(true);
      else this.#byNode.get(node)?.keep(false);
    }
  }

  /** Closes an idle connection of some node, to make room within `connections.total`. */
  #makeRoom(): void {
    for (const spare of [true, false]) {
      for (const sessions of this.#byNode.values()) if (sessions.closeIdle(spare)) return;
    }
  }

  /** Certificates were renewed. */
  #retireAll(): void {
    for (const [node, sessions] of this.#byNode) {
      if (node.endpoint.address.scheme === "https") sessions.retire();
    }
  }

  #release(node: Node): void {
    this.#byNode.get(node)?.destroy(drainedTooLong(node.key));
    this.#byNode.delete(node);
  }
}
