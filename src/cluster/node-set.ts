/**
 * The nodes of a cluster, which of them may be called now, and the picker over those.
 *
 * Whatever changes who may be called (a snapshot, a drain, an outcome, a check) ends in one `#rebuild`, which makes a
 * new immutable picker. Outcomes and checks each have their own say over a node, and it is called when both are for it:
 * what outcomes took out only a trial call brings back, and while its check fails it gets none.
 */
import type { Attempt } from "../core/attempt.ts";
import type { Picker } from "../core/contracts.ts";
import type { CheckedEndpoint } from "../core/endpoint.ts";
import { Fleet } from "../core/fleet.ts";
import type { CheckResult } from "../core/health-check.ts";
import { type Health, Node } from "../core/node.ts";
import { type Outcome, success } from "../core/outcome.ts";
import type { GuardedSet } from "../discovery/guard.ts";
import { ejectionReason, judge, type Surroundings, takeOut } from "../health/ejection.ts";
import { Drains } from "./drains.ts";
import { GuardedPolicy } from "./guarded-policy.ts";
import { MostFail } from "./most-fail.ts";
import { NodeEvents } from "./node-events.ts";
import type { ResolvedOptions } from "./options.ts";
import { Outage } from "./outage.ts";
import { Pickers } from "./pickers.ts";
import type { Reach } from "./reach.ts";
import { applySnapshot, type Changes } from "./reducer.ts";
import { countEjected, describeNodes, type Standing, standingOf } from "./standing.ts";
import { type TrialCall, Trials } from "./trials.ts";
import { WarmUps } from "./warm-ups.ts";

/** How often the averages fade and waiting nodes are looked at, while calls are made (algorithms.md). */
const refreshMs = 100;
/** When the first node is back after all were out, the others are tried within this time: the cause was shared. */
const hastenedMs = 1_000;

export class NodeSet {
  readonly nodes: Map<string, Node> = new Map();
  readonly policy: GuardedPolicy;
  /** Told when a node has left for good, to let go of its connections. */
  readonly goneListeners: Set<(node: Node) => void> = new Set();
  /** Told when other nodes may be called from now on, before anything is picked. */
  readonly rebuildListeners: Set<() => void> = new Set();
  /** Told when an outage of all nodes is over: what hangs since then may be begun anew. */
  readonly outageListeners: Set<() => void> = new Set();

  /** Nodes that calls go to. */
  callable: readonly Node[] = [];
  failingOpen = false;
  /** As of when all this is. What begins now begins no earlier: an attempt from before a node went out says nothing of it. */
  asOf: number = Number.NEGATIVE_INFINITY;

  readonly #options: ResolvedOptions;
  readonly #onSuspectFailed: (node: Node) => void;
  readonly #fleet: Fleet = new Fleet();
  readonly #events: NodeEvents;
  readonly #pickers: Pickers;
  readonly #trials: Trials = new Trials();
  readonly #warmUps: WarmUps;
  readonly #drains: Drains;
  #standing: Standing = standingOf([]);
  #hadNodes = false;
  #refreshAt = 0;
  readonly #mostFail: MostFail = new MostFail();
  #outage: Outage | undefined = undefined;
  readonly #inService = (): readonly Node[] => this.#standing.eligible.filter(({ isFit }) => isFit);

  /** @param onSuspectFailed told when a node that discovery may have lost by accident fails as if it were gone. */
  constructor(options: ResolvedOptions, onSuspectFailed: (node: Node) => void) {
    this.#options = options;
    this.#onSuspectFailed = onSuspectFailed;
    this.policy = new GuardedPolicy(options);
    this.#events = new NodeEvents(options.name);
    this.#pickers = new Pickers(this.policy, options);
    this.#warmUps = new WarmUps(options.warmUpMs);
    this.#drains = new Drains(options.clock, options.connections.drainMs, (node) => this.#forget(node));
  }

  /** For calls that prefer the caller's own zone. */
  get picker(): Picker | undefined {
    return this.#pickers.own;
  }

  /** Nodes that discovery and the program want called, fit or not. */
  get eligible(): readonly Node[] {
    return this.#standing.eligible;
  }

  /** Nodes that wait for a trial call. */
  get trials(): readonly Node[] {
    return this.#trials.waiting;
  }

  /** Brings the nodes in line with a snapshot of discovery. */
  apply(set: GuardedSet, now: number): Changes {
    const joinsOthers = this.#hadNodes;
    const create = (endpoint: CheckedEndpoint) => this.#createNode(endpoint, joinsOthers, now);
    const changes = applySnapshot(this.nodes, set.endpoints, set.suspects, create, now);
    this.#outage ??= new Outage(now);
    this.#hadNodes ||= set.endpoints.length > 0;
    for (const node of changes.added) this.#warmUps.setWeight(node, now);
    for (const node of changes.changed) this.#warmUps.setWeight(node, now);
    this.#rebuild(now);
    for (const node of changes.added) this.#events.show(node, now, "named by discovery");
    for (const node of changes.changed) this.#events.show(node, now);
    for (const node of changes.removed) {
      this.#events.show(node, now);
      if (node.inflight === 0) this.#forget(node);
      else this.#drains.limit(node, now);
    }
    return changes;
  }

  /** Starts or ends a drain by the program; false if there is no such node now. */
  setDrained(key: string, drained: boolean, now: number): boolean {
    this.#drains.set(key, drained);
    const node = this.nodes.get(key);
    if (node === undefined) return false;
    node.drainedByProgram = drained;
    this.#rebuild(now);
    this.#events.show(node, now);
    return true;
  }

  /**
   * The node for a call's next attempt; undefined when it has tried all that may be called.
   *
   * @param reach what the call's transport can reach now, for one that keeps its connections ready.
   */
  pick(call: TrialCall, now: number, reach?: Reach): Node | undefined {
    if (now >= this.#refreshAt) this.refresh(now);
    if (this.#trials.waiting.length > 0) {
      const node = this.#trials.take(call, this.failingOpen, now, reach?.ready);
      if (node !== undefined) return node;
    }
    const picker = (reach?.pickers ?? this.#pickers).of(call.rules.zone);
    return picker === undefined ? undefined : picker.pick(call);
  }

  /** The attempt that follows a pick. */
  begun(attempt: Attempt): void {
    this.#trials.begun(attempt);
  }

  /** Good headers came: that alone settles that a node is back, however long the body takes. */
  answered(attempt: Attempt, now: number): void {
    const { node } = attempt;
    if (this.#outage?.answered(this.#inService, now) === true) {
      this.#mostFail.forget();
      this.#rebuild(now);
      for (const listener of this.outageListeners) listener();
    }
    if (node.health.kind !== "in") this.#passTrial(attempt, now);
    else if (node.spared) this.#unspare(node, now);
    if (attempt.latencyMs !== undefined) {
      this.policy.observe(node, attempt.latencyMs, success, now);
    }
  }

  /** Whether the time that an attempt took says anything of its node. */
  isSample(attempt: Attempt): boolean {
    return this.#outage?.includes(attempt) !== true;
  }

  /** What an attempt's outcome says of its node. */
  judged(attempt: Attempt, outcome: Outcome): Outcome {
    return outcome.kind === "failure" ? (this.#outage?.judged(attempt, outcome) ?? outcome) : outcome;
  }

  /** The one place where the end of an attempt meets the health of its node. */
  settled(attempt: Attempt, outcome: Outcome, now: number): void {
    const { node } = attempt;
    const { health } = node;
    if (isRefusal(outcome)) node.forgetLatency();
    if (outcome.kind !== "success" && attempt.latencyMs !== undefined) {
      this.policy.observe(node, attempt.latencyMs, outcome, now);
    }
    if (health.kind === "in") {
      // While its check fails a node is out anyway, and calls reach it only since they began before or all are out.
      if (outcome.kind === "failure" && node.drainCause === undefined && node.isFit) {
        this.#judge(node, outcome, now);
      } else if (outcome.kind === "success" && node.spared) this.#unspare(node, now);
    } else if (outcome.kind === "success" || outcome.reason === "dependency") {
      this.#passTrial(attempt, now);
    } else if (health.kind === "probing" && attempt.startedAt >= health.since) {
      this.#failTrial(attempt, health, outcome, now);
    }
    this.left(node);
  }

  /** An attempt is over that needs the node no more. */
  left(node: Node): void {
    if (node.removedAt !== undefined && node.inflight === 0) this.#forget(node);
  }

  /** A failure that no call met: a connection was found dead while nothing was under way on it. */
  blamed(node: Node, outcome: Outcome, now: number): void {
    node.failedBetweenCalls(now);
    if (node.isFit && node.drainCause === undefined) this.#judge(node, outcome, now);
  }

  /** A transport that connects by itself could not reach the node; no call was under way. */
  unreached(node: Node, outcome: Outcome, now: number): void {
    const { health } = node;
    if (outcome.kind !== "failure") return;
    if (health.kind === "in") this.blamed(node, outcome, now);
    else if (health.kind === "out" && health.state === "ejected" && isRefusal(outcome)) {
      // Its calls failed since it went: it may come back as soon as it can be reached.
      node.health = { ...health, state: "down", reason: outcome.detail || outcome.reason };
      this.#events.show(node, now);
    } else if (health.kind === "probing" && !health.onTrial && isRefusal(outcome)) {
      this.#takeOut(node, "down", outcome.detail || outcome.reason, now);
    }
  }

  /** A connection to the node stands: if it was down, the next call may try it. */
  reached(node: Node, now: number): void {
    this.#bringForward(node, now);
  }

  /** What a node's active check says now; it may say the same again. */
  checked(node: Node, { healthy, detail }: CheckResult, now: number): void {
    if (this.nodes.get(node.key) !== node) return;
    if (healthy) this.#checkPassed(node, now);
    else this.#checkFailed(node, detail, now);
  }

  /** Lets averages fade, weights grow and nodes whose time is up come on trial. */
  refresh(now: number): void {
    this.#refreshAt = now + refreshMs;
    this.asOf = now;
    for (const node of this.nodes.values()) node.refresh(now);
    for (const node of this.#standing.out) {
      const { health } = node;
      if (health.kind !== "out" || health.until > now || node.check.kind === "failing") continue;
      this.#trials.offer(node, health, now);
      this.#events.show(node, now);
    }
    this.#warmUps.refresh(now, (node) => this.#events.show(node, now, "warmed up"));
  }

  /** How the nodes stand, in a few words, for an error that says why none could be called. */
  describe(now: number): string {
    return describeNodes(this.nodes, now);
  }

  close(): void {
    this.#drains.close();
  }

  #createNode(endpoint: CheckedEndpoint, joinsOthers: boolean, now: number): Node {
    const node = new Node(endpoint, this.#fleet, now, joinsOthers);
    node.drainedByProgram = this.#drains.has(node.key);
    if (joinsOthers) this.#warmUps.start(node, "joined lately", now);
    return node;
  }

  #passTrial(attempt: Attempt, now: number): void {
    const { node } = attempt;
    const { health } = node;
    // An attempt from before it went out says nothing about how it is now. A trial may begin as probing does.
    if (health.kind === "in" || attempt.startedAt < health.since) return;
    if (health.kind === "out" && attempt.startedAt === health.since) return;
    node.restore(now);
    if (node.isFit) this.#warmUps.returned(node, now);
    this.#rebuild(now);
    this.#events.show(node, now, "answered a trial call");
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
      this.#trials.offerAgain(node, health);
    }
  }

  /** Takes the node out whatever the cap, the last one too: a check asks the node itself, apart from all calls. */
  #checkFailed(node: Node, detail: string, now: number): void {
    const wasFailing = node.check.kind === "failing";
    node.check = { kind: "failing", detail };
    if (wasFailing) return;
    this.#warmUps.checkFailed(node);
    this.#rebuild(now);
    this.#events.show(node, now);
    if (node.suspect) this.#onSuspectFailed(node);
  }

  #checkPassed(node: Node, now: number): void {
    const wasFailing = node.check.kind === "failing";
    node.check = { kind: "passing" };
    if (wasFailing && node.health.kind === "in") {
      node.startAnew();
      this.#warmUps.returned(node, now);
    }
    if (wasFailing || !node.hastenedByCheck) {
      if (this.#bringForward(node, now)) node.hastenedByCheck = true;
    }
    if (!wasFailing) return;
    this.#rebuild(now);
    this.#events.show(node, now, "passes its check");
  }

  /** Somebody is there again. An ejected node was there all along, perhaps, and serves its time. */
  #bringForward(node: Node, now: number): boolean {
    const { health } = node;
    if (health.kind !== "out" || health.state !== "down") return false;
    node.health = { ...health, until: Math.min(health.until, now) };
    this.refresh(now);
    return true;
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
    const left = this.#standing.inService.length - (node.isFit ? 1 : 0);
    const { health, strikes } = takeOut(
      node,
      state,
      reason,
      this.#options.ejection,
      left < this.#standing.eligible.length / 2,
      now,
      this.#options.random,
    );
    node.health = health;
    node.strikes = strikes;
    this.#rebuild(now);
    this.#events.show(node, now);
  }

  #unspare(node: Node, now: number): void {
    node.spared = false;
    this.#rebuild(now);
  }

  #surroundings(now: number): Surroundings {
    const { eligible, inService, out } = this.#standing;
    return {
      total: eligible.length,
      inService: inService.length,
      ejected: countEjected(out),
      mostFail: this.#mostFail.of(eligible, now),
    };
  }

  /** Works out who may be called, and builds the picker over them. */
  #rebuild(now: number): void {
    this.asOf = now;
    const wereAllOut = this.#standing.isAllOut;
    const standing = standingOf(this.nodes.values());
    const { eligible, inService, trials, isAllOut } = standing;
    this.#standing = standing;
    this.failingOpen = isAllOut && this.#options.failOpen;
    this.#trials.waiting = trials;
    this.callable = this.failingOpen ? eligible : inService;
    this.#pickers.rebuild(eligible, this.callable);
    for (const listener of this.rebuildListeners) listener();
    if (wereAllOut && !isAllOut) this.#hasten(now);
  }

  /** Brings forward the trials of the nodes that are still out. */
  #hasten(now: number): void {
    for (const node of this.#standing.out) {
      const { health } = node;
      const until = now + this.#options.random() * hastenedMs;
      if (health.kind === "out" && health.until > until) node.health = { ...health, until };
    }
  }

  #forget(node: Node): void {
    if (this.nodes.get(node.key) !== node) return;
    this.nodes.delete(node.key);
    this.#warmUps.forget(node);
    this.#trials.forget(node);
    this.#drains.forget(node);
    this.#events.gone(node);
    for (const listener of this.goneListeners) listener(node);
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
