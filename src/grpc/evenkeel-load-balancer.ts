/**
 * The load-balancing policy of one channel: a connection for each node, and picks by the cluster among those that stand.
 *
 * The set of nodes changes in `updateAddressList` only. State of nodes is not kept here, as grpc-js drops a policy with
 * its statistics when a channel goes idle.
 */
import { connectivityState, type experimental, status } from "@grpc/grpc-js";
import { Reach } from "../cluster/reach.ts";
import type { Timer } from "../core/clock.ts";
import { nodesToConnect } from "./connected-subset.ts";
import { connectionDefaults } from "./connection-options.ts";
import { GrpcCall } from "./grpc-call.ts";
import { type GrpcService, type NodeEndpoint, serviceAttribute } from "./grpc-service.ts";
import { Leaf } from "./leaf.ts";
import { dropped, endedAs, queued, unavailable } from "./pick-results.ts";

const { CONNECTING, READY, TRANSIENT_FAILURE } = connectivityState;
type Options = Parameters<experimental.LoadBalancer["updateAddressList"]>[2];

export const policyName = "evenkeel";

/**
 * How long the first calls of a channel wait for further connections once one stands. Without it they would all go to
 * the node that was quickest to connect. Connections within a data centre take 1 to 10 ms, TLS included.
 */
const settleMs = 50;
/** As the end of that wait: it is over. */
const settled = Number.NEGATIVE_INFINITY;
/**
 * How often calls make failed connections be tried again before their pause is over: with no node connected, and with less
 * than half of them, when the cause is a shared one (as for trials of nodes that are down).
 */
const hastenMs = 250;
const hastenMostMs = 1_000;
/** How often calls that wait for a node are looked at again when nothing else happens: a node's penalty may be over. */
const lookMs = 250;
/** How often they are looked at, all of them, since the time of one is over: 20 times a second costs little with thousands. */
const lookMostMs = 50;

export class EvenkeelConfig implements experimental.TypedLoadBalancingConfig {
  static createFromJson(): EvenkeelConfig {
    return new EvenkeelConfig();
  }

  getLoadBalancerName(): string {
    return policyName;
  }

  toJsonObject(): object {
    return { [policyName]: {} };
  }
}

export class EvenkeelLoadBalancer implements experimental.LoadBalancer, experimental.Picker {
  readonly #helper: experimental.ChannelControlHelper;
  #service: GrpcService | undefined = undefined;
  #reach: Reach | undefined = undefined;
  #options: Options = {};
  readonly #leaves: Map<NodeEndpoint["node"], Leaf> = new Map();
  #endpoints: readonly NodeEndpoint[] = [];
  #told: ReadonlySet<NodeEndpoint["node"]> = new Set();
  /** There are nodes that the resolver is about to tell of. */
  #isBehind = false;
  /** Since when no node has been connected; the channel's first moment counts. */
  #unconnectedSince = 0;
  /** Until when the first calls wait for further connections; undefined until one stands. */
  #settlesAt: number | undefined = undefined;
  /** Less than half of the nodes are connected. */
  #isHalfGone = false;
  #hastenedAt = Number.NEGATIVE_INFINITY;
  #resumedAt = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined = undefined;
  #wakesAt = Number.POSITIVE_INFINITY;
  /** When the calls that wait were last looked at. */
  #updatedAt = Number.NEGATIVE_INFINITY;
  #isScheduled = false;
  #isOver = false;
  readonly #onRebuild = (): void => {
    const { eligible } = (this.#service as GrpcService).cluster.nodeSet;
    this.#isBehind = eligible.some((node) => !this.#told.has(node));
    this.#connectWanted();
    this.#rebuild();
    this.#schedule();
  };
  readonly #onTimer = (): void => {
    this.#rebuild();
    this.#update();
  };

  constructor(helper: experimental.ChannelControlHelper) {
    this.#helper = helper;
  }

  getTypeName(): string {
    return policyName;
  }

  updateAddressList(
    endpoints: experimental.StatusOr<experimental.Endpoint[]>,
    _config: experimental.TypedLoadBalancingConfig,
    options: Options,
  ): boolean {
    const service = options[serviceAttribute] as GrpcService | undefined;
    if (service === undefined || !endpoints.ok) return false;
    if (this.#service === undefined) this.#start(service);
    this.#options = { ...connectionDefaults(service.cluster.options), ...options };
    this.#endpoints = endpoints.value as experimental.Endpoint[] as NodeEndpoint[];
    this.#told = new Set(this.#endpoints.map(({ node }) => node));
    this.#isBehind = false;
    this.#connectWanted();
    this.#rebuild();
    this.#update();
    return true;
  }

  /** grpc-js says so before each call. */
  exitIdle(): void {
    if (!this.#isHalfGone) return;
    const now = this.#now();
    if (now - this.#hastenedAt < (this.#reach?.ready.size === 0 ? hastenMs : hastenMostMs)) return;
    this.#hastenedAt = now;
    this.resetBackoff();
  }

  resetBackoff(): void {
    for (const leaf of this.#leaves.values()) leaf.hasten();
  }

  destroy(): void {
    this.#isOver = true;
    this.#timer?.cancel();
    this.#service?.cluster.nodeSet.rebuildListeners.delete(this.#onRebuild);
    for (const leaf of this.#leaves.values()) leaf.destroy();
    this.#leaves.clear();
  }

  pick({ extraPickInfo }: experimental.PickArgs): experimental.PickResult {
    const call: unknown = extraPickInfo;
    const { cluster } = this.#service as GrpcService;
    if (!(call instanceof GrpcCall)) return unavailable("the call was not made by this channel");
    const now = call.pickedAt(this.#settlesAt === settled);
    if (this.#isSettling(now)) return queued;
    try {
      return this.#pick(call, now);
    } catch (error) {
      // From here it would be thrown into grpc-js, where it ends the process, or leaves the calls behind this one waiting for good.
      const details = `${cluster.name}: the policy ${cluster.options.policy.name} threw: ${String(error)}`;
      return dropped(endedAs(status.INTERNAL, details));
    }
  }

  #pick(call: GrpcCall, now: number): experimental.PickResult {
    const { nodeSet } = call.cluster;
    const reach = this.#reach as Reach;
    // grpc-js begins a call although it was cancelled within the tick of its start, and then nobody would end the attempt.
    if (call.isOver) return dropped(endedAs(status.CANCELLED, "the call is over"));
    call.repick();
    if (!call.affords(now, reach.size)) return this.#unaffordable(call, now);
    let node = nodeSet.pick(call, now, reach);
    if (node === undefined && call.forgetTried()) node = nodeSet.pick(call, now, reach);
    const leaf = node === undefined ? undefined : this.#leaves.get(node);
    if (leaf?.subchannel === undefined) return this.#unpicked(call, now);
    return call.attemptOn(leaf, leaf.subchannel, now) as unknown as experimental.PickResult;
  }

  /** With `waitForReady` a call waits whatever this says, and is picked for again with each change; or by our timer. */
  #unpicked(call: GrpcCall, now: number): experimental.PickResult {
    if (now >= call.endsAt) {
      const { totalMs } = call.rules;
      const details = `${this.#describe()}; no answer within ${totalMs} ms`;
      return dropped(endedAs(status.DEADLINE_EXCEEDED, details));
    }
    this.#resume(now);
    this.#lookAgain(call, now);
    return this.#isWaiting(now) ? queued : unavailable(this.#describe(), call.missed(now));
  }

  #unaffordable(call: GrpcCall, now: number): experimental.PickResult {
    // In place of an attempt that failed there is none: that one's status is the call's.
    if (call.failed !== undefined) return dropped(call.failed);
    this.#lookAgain(call, now);
    return unavailable("there is no node, or nothing in retry.budget, for a hedge");
  }

  /** A call wants a connection, and there is none: what pauses before it connects again does so now. */
  #resume(now: number): void {
    if ((this.#reach as Reach).ready.size > 0 || now - this.#resumedAt < hastenMs) return;
    this.#resumedAt = now;
    for (const leaf of this.#leaves.values()) leaf.resume();
  }

  /** The call may have to wait: until something changes, or its time is over. */
  #lookAgain({ endsAt }: GrpcCall, now: number): void {
    if (this.#timer === undefined) this.#wakeAt(now + lookMs, now);
    // Timers may be early by a fraction of a millisecond.
    const dueAt = Math.max(endsAt + 1, this.#updatedAt + lookMostMs);
    if (dueAt < this.#wakesAt) this.#wakeAt(dueAt, now);
  }

  #start(service: GrpcService): void {
    const { nodeSet, options } = service.cluster;
    this.#service = service;
    this.#reach = new Reach(nodeSet, options);
    this.#unconnectedSince = this.#now();
    nodeSet.rebuildListeners.add(this.#onRebuild);
  }

  #now(): number {
    return (this.#service as GrpcService).cluster.clock.now();
  }

  /** Brings the leaves in line with the nodes that are to be connected. */
  #connectWanted(): void {
    const service = this.#service as GrpcService;
    const { wanted, ready } = this.#reach as Reach;
    const wasConnected = ready.size > 0;
    const endpoints = nodesToConnect(this.#endpoints, service.cluster, this.#leaves.keys());
    wanted.clear();
    for (const { node } of endpoints) wanted.add(node);
    for (const [node, leaf] of this.#leaves) {
      if (wanted.has(node)) continue;
      this.#leaves.delete(node);
      ready.delete(node);
      leaf.destroy();
    }
    const added: Leaf[] = [];
    for (const endpoint of endpoints) {
      if (this.#leaves.has(endpoint.node)) continue;
      const leaf = new Leaf(endpoint, service, this.#helper, this.#options, this.#onLeaf);
      this.#leaves.set(endpoint.node, leaf);
      added.push(leaf);
    }
    // What is to be connected from now on has its time for that, whatever became of others before.
    if (ready.size === 0 && (wasConnected || added.length > 0)) this.#unconnectedSince = this.#now();
    // All of them are known before the first reports.
    for (const leaf of added) leaf.connect();
  }

  readonly #onLeaf = (leaf: Leaf, wasReady: boolean): void => {
    const { ready } = this.#reach as Reach;
    const isReady = leaf.subchannel !== undefined;
    if (isReady) ready.add(leaf.node);
    else ready.delete(leaf.node);
    if (isReady !== wasReady) {
      const now = this.#now();
      if (isReady && this.#settlesAt === undefined) this.#settlesAt = now + settleMs;
      if (ready.size === 0) this.#unconnectedSince = now;
      // The first is back after all were gone: what kept them away was a shared cause, and its pauses are over for all.
      if (isReady && ready.size === 1) this.resetBackoff();
      this.#rebuild();
      // As grpc-js' own policies do, for a source that looks again only when it is told to.
      if (wasReady) this.#helper.requestReresolution();
    }
    this.#schedule();
  };

  #rebuild(): void {
    const { cluster } = this.#service as GrpcService;
    const reach = this.#reach as Reach;
    this.#isHalfGone = reach.ready.size * 2 < this.#leaves.size;
    reach.rebuild(cluster.options.failOpen && !this.#isConnectingFit());
  }

  /** Whether a node that is fit is being connected: until that is decided, nodes that are out get nothing. */
  #isConnectingFit(): boolean {
    if (this.#now() - this.#unconnectedSince >= this.#connectMs) return false;
    for (const { node, isConnecting } of this.#leaves.values()) if (isConnecting && node.isFit) return true;
    return false;
  }

  get #connectMs(): number {
    return (this.#service as GrpcService).cluster.options.timeouts.connectMs;
  }

  #isSettling(now: number): boolean {
    if (this.#settlesAt === undefined || this.#settlesAt === settled) return false;
    if (now < this.#settlesAt) {
      for (const leaf of this.#leaves.values()) if (leaf.isConnecting) return true;
    }
    this.#settlesAt = settled;
    return false;
  }

  /** Whether a node may be at hand soon. */
  #isWaiting(now: number): boolean {
    if (this.#isBehind) return true;
    if (now - this.#unconnectedSince >= this.#connectMs) return false;
    if ((this.#service as GrpcService).cluster.awaitsDiscovery) return true;
    for (const leaf of this.#leaves.values()) if (leaf.isConnecting) return true;
    return false;
  }

  /** Tells grpc-js, which then picks again for the calls that wait; not within a pick or another's change. */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    process.nextTick(() => {
      this.#isScheduled = false;
      if (!this.#isOver) this.#update();
    });
  }

  #update(): void {
    const now = this.#now();
    const { ready, size } = this.#reach as Reach;
    this.#updatedAt = now;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#wakesAt = Number.POSITIVE_INFINITY;
    const isSettling = this.#isSettling(now);
    const isWaiting = this.#isWaiting(now);
    // What is decided by time alone: the wait for a first connection, and the one for further ones.
    if (isSettling) this.#wakeAt(this.#settlesAt as number, now);
    else if (isWaiting && size === 0) this.#wakeAt(this.#unconnectedSince + this.#connectMs, now);
    if (ready.size > 0) this.#helper.updateState(READY, this, null);
    else if (isWaiting) this.#helper.updateState(CONNECTING, this, null);
    else this.#helper.updateState(TRANSIENT_FAILURE, this, this.#describe());
  }

  #wakeAt(at: number, now: number): void {
    const { clock } = (this.#service as GrpcService).cluster;
    this.#timer?.cancel();
    this.#wakesAt = at;
    this.#timer = clock.schedule(this.#onTimer, at - now);
  }

  #describe(): string {
    const { cluster } = this.#service as GrpcService;
    const { name, awaitsDiscovery, options } = cluster;
    const { connectMs } = options.timeouts;
    if (awaitsDiscovery) return `${name}: discovery named no node within ${connectMs} ms`;
    const ready = this.#reach?.ready.size ?? 0;
    if (ready > 0 || this.#leaves.size === 0) return `${name}: ${cluster.describeNoNode()}`;
    const errors = Array.from(this.#leaves.values(), ({ node, error }) => `${node.key} ${error}`.trim());
    const shown = errors.slice(0, 3).join("; ");
    return `${name}: none of ${errors.length} nodes is connected: ${shown}${errors.length > 3 ? "; ..." : ""}`;
  }
}
