/**
 * One service as all its channels share it: the cluster with the state of its nodes, what is known of its methods, and
 * the attempts that are under way.
 *
 * grpc-js makes a resolver and a policy for each channel, and makes them anew after each idle time (30 minutes). What
 * has to outlive them is here; they find it by the channel's target.
 */
import type { experimental } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import { ActiveCalls } from "../cluster/active-calls.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { Deadlines } from "../core/deadlines.ts";
import type { Node } from "../core/node.ts";
import type { ConnectionCounts } from "../core/observation.ts";
import { ignored } from "../core/outcome.ts";
import { CallSelector } from "./call-selector.ts";
import type { Dial } from "./dial.ts";
import type { GrpcAttempt } from "./grpc-attempt.ts";
import { GrpcConnections } from "./grpc-connections.ts";
import { GrpcRules } from "./grpc-rules.ts";
import { ConfiguredMethods } from "./method-config.ts";
import { Methods } from "./methods.ts";

const drainedTooLong = ignored("closing", "the node was removed, and drainMs are over");

export class GrpcService {
  readonly cluster: Cluster;
  readonly methods: Methods;
  /** Streams under way: unary calls end by themselves, in `totalMs` at the latest. */
  readonly streams: Set<GrpcAttempt> = new Set();
  readonly deadlines: Deadlines;
  readonly connections: GrpcConnections = new GrpcConnections();
  /** Of calls that no view says otherwise of. */
  readonly rules: GrpcRules;
  /** Told when the service is closed. */
  readonly closeListeners: Set<() => void> = new Set();
  /** It takes no new calls. */
  closing = false;
  closed = false;
  readonly #activeCalls: ActiveCalls = new ActiveCalls();
  /** By the service config that channels were given. One object for each, since it is part of a connection's identity. */
  readonly #selectors: Map<string | undefined, CallSelector> = new Map();
  readonly #onGone = (node: Node): void => {
    for (const attempt of [...this.streams]) {
      if (attempt.node !== node) continue;
      attempt.cut(
        status.UNAVAILABLE,
        `${this.cluster.name}: ${node.key} ${drainedTooLong.detail}`,
        drainedTooLong,
      );
    }
  };

  readonly #counter = (node: Node): ConnectionCounts | undefined => this.connections.countsOf(node.key);

  constructor(cluster: Cluster) {
    this.cluster = cluster;
    this.methods = new Methods(cluster.rules.retry);
    this.deadlines = new Deadlines(cluster.clock);
    this.rules = new GrpcRules(this, cluster.rules);
    cluster.nodeSet.goneListeners.add(this.#onGone);
    cluster.connectionCounters.add(this.#counter);
  }

  /** @param serviceConfig the channel option `grpc.service_config`. */
  selector(serviceConfig: string | undefined): CallSelector {
    let selector = this.#selectors.get(serviceConfig);
    if (selector === undefined) {
      selector = new CallSelector(this, new ConfiguredMethods(serviceConfig));
      this.#selectors.set(serviceConfig, selector);
    }
    return selector;
  }

  callStarted(): void {
    this.#activeCalls.started();
  }

  callEnded(): void {
    this.#activeCalls.ended();
  }

  async close(): Promise<void> {
    this.closing = true;
    // Those under way may still be tried again, and for that need the nodes.
    if (this.#activeCalls.count > 0) await this.#activeCalls.idle();
    this.closed = true;
    for (const listener of [...this.closeListeners]) listener();
    this.cluster.nodeSet.goneListeners.delete(this.#onGone);
    this.cluster.connectionCounters.delete(this.#counter);
    this.deadlines.close();
  }
}

/** The attribute by which a resolver hands the service to the policy; its prefix keeps it from the connections. */
export const serviceAttribute = "grpc.internal.no_subchannel.evenkeel";

/** What the policy is given for one node, besides grpc-js' own fields. */
export interface NodeEndpoint extends experimental.Endpoint {
  readonly node: Node;
  readonly dial: Dial;
}
