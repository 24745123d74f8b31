/**
 * The nodes of a cluster, which of them may be called now, and the picker over those.
 *
 * Whatever changes who may be called (a snapshot, a drain, an outcome) ends in one `#rebuild`, which makes a new
 * immutable picker. A node that was out comes back by a single trial call, which is not left to the policy: a
 * policy that looks at cost would avoid the node that most needs a try.
 */
import type { Attempt } from "../core/attempt.ts";
import type { Timer } from "../core/clock.ts";
import type { CallInfo, Picker } from "../core/contracts.ts";
import type { CheckedEndpoint } from "../core/endpoint.ts";
import { nodeStates } from "../core/events.ts";
import { Fleet } from "../core/fleet.ts";
import { type Health, Node } from "../core/node.ts";
import { ignored, type Outcome, success } from "../core/outcome.ts";
import { type NodeState, stateOf } from "../core/view.ts";
import type { GuardedSet } from "../discovery/guard.ts";
import { ejectionReason, judge, mostFail, type Surroundings, takeOut } from "../health/ejection.ts";
import { warmUpShare } from "../health/warm-up.ts";
import type { ResolvedOptions } from "./options.ts";
import { applySnapshot, type Changes } from "./reducer.ts";
import { buildPicker } from "./tiered-picker.ts";

/** How often the averages fade and waiting nodes are looked at, while calls are made (algorithms.md). */
const refreshMs = 100;
/** A node on its way back waits this long for a call that could be retried; then any call tries it. */
const anyCallAfterMs = 1_000;
/** When the first node is back after all were out, the others are tried within this time: the cause was shared. */
const hastenedMs = 1_000;
/** How long it is remembered whether most nodes fail, since finding out looks at all of them. */
const mostFailMs = 50;

/**
 * So long without a good answer from any node, while calls to all of them fail, is an outage that no node caused. A
 * node that is well gives an answer within a second, unless hardly any calls are made.
 */
const outageMs = 1_000;
const causedByOutage = ignored("shortage", "began while no node could be reached");

/** More zones than any service has: beyond it, a caller's zones are names without end. */
const mostZones = 100;

/** What of a call decides where it may go, and whether it may be a trial. */
export interface TrialCall extends CallInfo {
  readonly canRetry: boolean;
  readonly rules: { readonly zone: string | undefined };
}

export class NodeSet {
  readonly nodes: Map<string, Node> = new Map();
  /** Told when a node has left for good, to let go of its connections. */
  readonly goneListeners: Set<(node: Node) => void> = new Set();

  /** Nodes that calls go to. */
  callable: readonly Node[] = [];
  picker: Picker | undefined = undefined;
  failingOpen = false;
  /** Nodes that wait for a trial call. */
  trials: readonly Node[] = [];

  readonly #options: ResolvedOptions;
  readonly #onSuspectFailed: (node: Node) => void;
  readonly #fleet: Fleet = new Fleet();
  /** For calls of views with a zone of their own: the picker, and the set of callable nodes that it was built for. */
  readonly #pickersOfZones: Map<
    string | undefined,
    { readonly picker: Picker | undefined; readonly set: readonly Node[] }
  > = new Map();
  readonly #drainedKeys: Set<string> = new Set();
  readonly #drainTimers: Map<Node, Timer> = new Map();
  #eligible: readonly Node[] = [];
  #inService = 0;
  #allOut = false;
  #pickedForTrial: Node | undefined = undefined;
  #out: readonly Node[] = [];
  readonly #warming: Set<Node> = new Set();
  #hadNodes = false;
  #refreshAt = 0;
  #mostFail = false;
  #mostFailAt = Number.NEGATIVE_INFINITY;
  /** The latest good answer; before the first, when there were nodes to give one. */
  #goodAnswerAt = 0;
  #outageEndedAt = Number.NEGATIVE_INFINITY;

  /** @param onSuspectFailed told when a node that discovery may have lost by accident fails as if it were gone. */
  constructor(options: ResolvedOptions, onSuspectFailed: (node: Node) => void) {
    this.#options = options;
    this.#onSuspectFailed = onSuspectFailed;
  }

  /** Brings the nodes in line with a snapshot of discovery. */
  apply(set: GuardedSet, now: number): Changes {
    const joinsOthers = this.#hadNodes;
    const create = (endpoint: CheckedEndpoint) => this.#createNode(endpoint, joinsOthers, now);
    const changes = applySnapshot(this.nodes, set.endpoints, set.suspects, create, now);
    if (!this.#hadNodes) this.#goodAnswerAt = now;
    this.#hadNodes ||= set.endpoints.length > 0;
    for (const node of changes.added) this.#setWeight(node, now);
    for (const node of changes.changed) this.#setWeight(node, now);
    this.#rebuild(now);
    for (const node of changes.added) this.#show(node, now, "named by discovery");
    for (const node of changes.changed) this.#show(node, now);
    for (const node of changes.removed) {
      this.#show(node, now);
      if (node.inflight === 0) this.#forget(node);
      else this.#limitDrain(node, now);
    }
    return changes;
  }

  /** Starts or ends a drain by the program; false if there is no such node now. */
  setDrained(key: string, drained: boolean, now: number): boolean {
    if (drained) this.#drainedKeys.add(key);
    else this.#drainedKeys.delete(key);
    const node = this.nodes.get(key);
    if (node === undefined) return false;
    node.drainedByProgram = drained;
    this.#rebuild(now);
    this.#show(node, now);
    return true;
  }

  /** The node for a call's next attempt; undefined when it has tried all that may be called. */
  pick(call: TrialCall, now: number): Node | undefined {
    if (now >= this.#refreshAt) this.refresh(now);
    if (this.trials.length > 0) {
      const node = this.#takeTrial(call, now);
      if (node !== undefined) return node;
    }
    const { zone } = call.rules;
    const picker = zone === this.#options.zone ? this.picker : this.#pickerOf(zone);
    return picker === undefined ? undefined : picker.pick(call);
  }

  /** The picker for calls that prefer another zone than the caller's own, made on first use. */
  #pickerOf(zone: string | undefined): Picker | undefined {
    const known = this.#pickersOfZones.get(zone);
    if (known?.set === this.callable) return known.picker;
    const { policy, random } = this.#options;
    const picker = buildPicker(policy, this.#eligible, this.callable, zone, random, known?.picker);
    if (known !== undefined || this.#pickersOfZones.size < mostZones) {
      this.#pickersOfZones.set(zone, { picker, set: this.callable });
    }
    return picker;
  }

  /** The attempt that follows a pick. */
  begun(attempt: Attempt): void {
    if (attempt.node !== this.#pickedForTrial) return;
    this.#pickedForTrial = undefined;
    attempt.isTrial = true;
  }

  /** Good headers came: that alone settles that a node is back, however long the body takes. */
  answered(attempt: Attempt, now: number): void {
    const { node } = attempt;
    if (now - this.#goodAnswerAt >= outageMs) this.#endOutage(now);
    this.#goodAnswerAt = now;
    if (node.health.kind !== "in") this.#passTrial(attempt, now);
    else if (node.spared) this.#unspare(node, now);
    if (attempt.latencyMs !== undefined) {
      this.#options.policy.observe?.(node, attempt.latencyMs, success, now);
    }
  }

  /**
   * What an attempt's outcome says of its node. One that began in an outage of all nodes and fails when that is over
   * says nothing: there are as many of these as calls begin in `attemptMs`.
   */
  judged(attempt: Attempt, outcome: Outcome): Outcome {
    const isOfOutage = outcome.kind === "failure" && attempt.startedAt < this.#outageEndedAt;
    return isOfOutage && attempt.node.health.kind === "in" ? causedByOutage : outcome;
  }

  /** The one place where the end of an attempt meets the health of its node. */
  settled(attempt: Attempt, outcome: Outcome, now: number): void {
    const { node } = attempt;
    const { health } = node;
    if (isRefusal(outcome)) node.forgetLatency();
    if (outcome.kind !== "success" && attempt.latencyMs !== undefined) {
      this.#options.policy.observe?.(node, attempt.latencyMs, outcome, now);
    }
    if (health.kind === "in") {
      if (outcome.kind === "failure" && node.drainCause === undefined) this.#judge(node, outcome, now);
      else if (outcome.kind === "success" && node.spared) this.#unspare(node, now);
    } else if (outcome.kind === "success") {
      this.#passTrial(attempt, now);
    } else if (health.kind === "probing" && attempt.startedAt >= health.since) {
      this.#failTrial(attempt, health, outcome, now);
    }
    if (node.removedAt !== undefined && node.inflight === 0) this.#forget(node);
  }

  /** Lets averages fade, weights grow and nodes whose time is up come on trial. */
  refresh(now: number): void {
    this.#refreshAt = now + refreshMs;
    for (const node of this.nodes.values()) node.refresh(now);
    for (const node of this.#out) {
      const { health } = node;
      if (health.kind !== "out" || health.until > now) continue;
      node.health = {
        kind: "probing",
        from: health.state,
        reason: health.reason,
        since: now,
        onTrial: false,
      };
      this.trials = [...this.trials, node];
      this.#show(node, now);
    }
    if (this.#warming.size > 0) this.#warm(now);
  }

  /** How the nodes stand, in a few words, for an error that says why none could be called. */
  describe(now: number): string {
    if (this.nodes.size === 0) return "discovery names no node";
    const counts = new Map<NodeState, number>();
    for (const node of this.nodes.values()) {
      const { state } = stateOf(node, now);
      counts.set(state, (counts.get(state) ?? 0) + 1);
    }
    const listed = Array.from(counts, ([state, count]) => `${count} ${state}`).join(", ");
    return `none of ${this.nodes.size} nodes may be called (${listed})`;
  }

  close(): void {
    for (const timer of this.#drainTimers.values()) timer.cancel();
    this.#drainTimers.clear();
  }

  /**
   * After a while the first good answer is here. Where all nodes had failed, what they failed of is over and was not
   * theirs: else the first to answer would get all calls, until the others are forgotten to have failed.
   */
  #endOutage(now: number): void {
    const inService = this.#eligible.filter(({ health }) => health.kind === "in");
    if (inService.some(({ consecutiveFailures }) => consecutiveFailures === 0)) return;
    for (const node of inService) node.forgetFailures();
    this.#outageEndedAt = now;
    this.#mostFailAt = Number.NEGATIVE_INFINITY;
  }

  #createNode(endpoint: CheckedEndpoint, joinsOthers: boolean, now: number): Node {
    const node = new Node(endpoint, this.#fleet, now, joinsOthers);
    node.drainedByProgram = this.#drainedKeys.has(node.key);
    if (joinsOthers && this.#options.warmUpMs > 0) {
      node.warmUntil = now + this.#options.warmUpMs;
      this.#warming.add(node);
    }
    return node;
  }

  #setWeight(node: Node, now: number): void {
    const { warmUpMs } = this.#options;
    const share = node.warmUntil > now ? warmUpShare(warmUpMs - (node.warmUntil - now), warmUpMs) : 1;
    node.weight = node.endpoint.weight * share;
  }

  #warm(now: number): void {
    for (const node of this.#warming) {
      this.#setWeight(node, now);
      if (node.warmUntil > now) continue;
      this.#warming.delete(node);
      this.#show(node, now, "warmed up");
    }
  }

  #takeTrial(call: TrialCall, now: number): Node | undefined {
    for (const node of this.trials) {
      const { health } = node;
      if (health.kind !== "probing" || node.drainCause !== undefined) continue;
      if (call.tried.includes(node)) continue;
      // When all are out, a call risks no more on this node than on any other.
      if (!this.failingOpen && now - health.since < anyCallAfterMs && !call.canRetry) continue;
      node.health = { ...health, onTrial: true };
      this.trials = this.trials.filter((other) => other !== node);
      this.#pickedForTrial = node;
      return node;
    }
    return undefined;
  }

  #passTrial(attempt: Attempt, now: number): void {
    const { node } = attempt;
    const { health } = node;
    // An attempt from before it went out says nothing about how it is now. A trial may begin as probing does.
    if (health.kind === "in" || attempt.startedAt < health.since) return;
    if (health.kind === "out" && attempt.startedAt === health.since) return;
    node.restore(now);
    this.#rebuild(now);
    this.#show(node, now, "answered a trial call");
  }

  #failTrial(
    { node, isTrial }: Attempt,
    health: Health & { kind: "probing" },
    outcome: Outcome,
    now: number,
  ): void {
    if (outcome.kind === "failure") {
      const state = isRefusal(outcome) ? "down" : "ejected";
      this.#takeOut(node, state, `failed its trial: ${outcome.detail || outcome.reason}`, now);
    } else if (isTrial) {
      // While all are out others call it too, and their ends that say nothing must not make room for a second trial.
      node.health = { ...health, onTrial: false };
      this.trials = [...this.trials, node];
    }
  }

  #judge(node: Node, outcome: Outcome, now: number): void {
    const rules = this.#options.ejection;
    const verdict = judge(node, outcome, rules, () => this.#surroundings(now), now);
    if (verdict === "down") {
      this.#takeOut(node, "down", outcome.detail || outcome.reason, now);
    } else if (verdict === "eject" && rules !== undefined) {
      this.#takeOut(node, "ejected", ejectionReason(node, outcome, rules, now), now);
    } else if (verdict === "spare" && !node.spared) {
      node.spared = true;
      this.#rebuild(now);
    }
    if (node.suspect && seemsGone(outcome)) this.#onSuspectFailed(node);
  }

  #takeOut(node: Node, state: "down" | "ejected", reason: string, now: number): void {
    const left = this.#inService - (node.health.kind === "in" ? 1 : 0);
    const { health, strikes } = takeOut(
      node,
      state,
      reason,
      this.#options.ejection,
      left < this.#eligible.length / 2,
      now,
      this.#options.random,
    );
    node.health = health;
    node.strikes = strikes;
    this.#rebuild(now);
    this.#show(node, now);
  }

  #unspare(node: Node, now: number): void {
    node.spared = false;
    this.#rebuild(now);
  }

  #surroundings(now: number): Surroundings {
    if (now - this.#mostFailAt >= mostFailMs) {
      this.#mostFailAt = now;
      this.#mostFail = mostFail(this.#eligible, now);
    }
    let ejected = 0;
    for (const { health } of this.#out) {
      if (
        health.kind === "out"
          ? health.state === "ejected"
          : health.kind === "probing" && health.from === "ejected"
      ) {
        ejected++;
      }
    }
    return { total: this.#eligible.length, inService: this.#inService, ejected, mostFail: this.#mostFail };
  }

  /** Works out who may be called, and builds the picker over them. */
  #rebuild(now: number): void {
    const eligible: Node[] = [];
    const inService: Node[] = [];
    const out: Node[] = [];
    const trials: Node[] = [];
    let spared = 0;
    for (const node of this.nodes.values()) {
      if (node.drainCause !== undefined) continue;
      eligible.push(node);
      if (node.health.kind === "in") {
        inService.push(node);
        if (node.spared) spared++;
      } else {
        out.push(node);
        if (node.health.kind === "probing" && !node.health.onTrial) trials.push(node);
      }
    }
    const wereAllOut = this.#allOut;
    this.#allOut = eligible.length > 0 && spared === inService.length;
    this.failingOpen = this.#allOut && this.#options.failOpen;
    this.#eligible = eligible;
    this.#inService = inService.length;
    this.#out = out;
    this.trials = trials;
    this.callable = this.failingOpen ? eligible : inService;
    const { policy, zone, random } = this.#options;
    this.picker = buildPicker(policy, eligible, this.callable, zone, random, this.picker);
    if (wereAllOut && !this.#allOut) this.#hasten(now);
  }

  /** Brings forward the trials of the nodes that are still out. */
  #hasten(now: number): void {
    for (const node of this.#out) {
      const { health } = node;
      const until = now + this.#options.random() * hastenedMs;
      if (health.kind === "out" && health.until > until) node.health = { ...health, until };
    }
  }

  /** Calls still under way at a removed node are cut when `drainMs` are over. */
  #limitDrain(node: Node, removedAt: number): void {
    const { clock, connections } = this.#options;
    this.#drainTimers.get(node)?.cancel();
    const timer = clock.schedule(() => {
      this.#drainTimers.delete(node);
      if (node.removedAt === removedAt) this.#forget(node);
    }, connections.drainMs);
    this.#drainTimers.set(node, timer);
  }

  #forget(node: Node): void {
    if (this.nodes.get(node.key) !== node) return;
    this.nodes.delete(node.key);
    this.#warming.delete(node);
    this.#drainTimers.get(node)?.cancel();
    this.#drainTimers.delete(node);
    this.#publish(node, "gone", "removed by discovery");
    for (const listener of this.goneListeners) listener(node);
  }

  /** Publishes a node's state if it is another one than was published last. */
  #show(node: Node, now: number, otherwise = ""): void {
    const { state, reason } = stateOf(node, now);
    if (state === node.shownState) return;
    this.#publish(node, state, reason || otherwise);
    node.shownState = state;
  }

  #publish(node: Node, to: NodeState | "gone", reason: string): void {
    if (!nodeStates.hasSubscribers) return;
    nodeStates.publish({ service: this.#options.name, address: node.key, from: node.shownState, to, reason });
  }
}

/** Nobody is there. */
function isRefusal({ reason }: Outcome): boolean {
  return reason === "refused" || reason === "unreachable";
}

/** A failure that fits an instance that is no longer there. */
function seemsGone(outcome: Outcome): boolean {
  const { reason } = outcome;
  return isRefusal(outcome) || reason === "connect" || reason === "timeout";
}
