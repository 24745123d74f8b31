/**
 * The nodes of one service, kept up to date from discovery, and all that decides over them: the service without
 * a transport.
 *
 * @example
 * const orders = new Cluster({ name: "orders", discovery: ["http://127.0.0.1:8080", "http://127.0.0.1:8081"] });
 * const answer = await orders.call(({ node, signal }) => fetch(node.url("/v1/orders"), { signal }), { idempotent: true });
 */
import type { Dispatcher } from "undici";
import { parseAddress } from "../core/address.ts";
import { Attempt } from "../core/attempt.ts";
import type { Clock } from "../core/clock.ts";
import { Deadlines } from "../core/deadlines.ts";
import { enableDebugLog } from "../core/debug.ts";
import { BalancerError } from "../core/errors.ts";
import { discoveryErrors, discoveryUpdates } from "../core/events.ts";
import type { CheckResult } from "../core/health-check.ts";
import { LoopLag } from "../core/loop-lag.ts";
import type { Node } from "../core/node.ts";
import {
  type Collection,
  type ConnectionCounts,
  collections,
  type DiscoveryState,
} from "../core/observation.ts";
import { longestTimerMs, OptionReader } from "../core/option-reader.ts";
import { type Outcome, success } from "../core/outcome.ts";
import {
  countStates,
  describeSummary,
  type InspectOptions,
  inspectBy,
  type Summary,
  showNamesOnly,
} from "../core/summary.ts";
import { type NodeView, viewOf } from "../core/view.ts";
import { Guard, type GuardedSet } from "../discovery/guard.ts";
import { snapshotFile } from "../discovery/snapshot-file.ts";
import type { ShadowReport } from "../policy/shadow.ts";
import { HedgeDelay } from "../resilience/hedge-delay.ts";
import { LatencyFloor } from "../resilience/latency-floor.ts";
import { ActiveCalls } from "./active-calls.ts";
import { Admission, type AdmissionView } from "./admission.ts";
import { type CallRules, resolveRules, rulesOf, type WithOptions } from "./call-rules.ts";
import type { CallSpan } from "./call-span.ts";
import { Checks } from "./checks.ts";
import { ClusterView } from "./cluster-view.ts";
import { type ExplainedCall, type Explanation, explain } from "./explain.ts";
import { ExtraAttempts } from "./extra-attempts.ts";
import { type CallOptions, FunctionCall, type NodeAttempt } from "./function-call.ts";
import { NodeSet } from "./node-set.ts";
import { observe } from "./observe.ts";
import { type ClusterOptions, type ResolvedOptions, resolveOptions } from "./options.ts";
import { ReadyWaiters } from "./ready-waiters.ts";
import { TlsFiles } from "./tls-files.ts";

export class Cluster implements AsyncDisposable {
  static {
    inspectBy(Cluster.prototype, (cluster, depth, options) => cluster.describe("Cluster", depth, options));
  }

  readonly name: string;
  /** What the options came to, defaults filled in. */
  readonly options: ResolvedOptions;
  /** What holds for calls that no view says otherwise of. @internal */
  readonly rules: CallRules;
  /** @internal */
  readonly clock: Clock;
  /** @internal */
  readonly deadlines: Deadlines<CallSpan>;
  /** @internal */
  readonly lag: LoopLag;
  /** @internal */
  readonly nodeSet: NodeSet;
  /** Certificates, for whoever makes connections. @internal */
  readonly tls: TlsFiles;
  /** Told after each change of the set of nodes. @internal */
  readonly updateListeners: Set<() => void> = new Set();
  /** Calls that wait for discovery's first answer. @internal */
  readonly waiting: Set<CallSpan> = new Set();
  /** The connections of the transports over this cluster, for checks that are told to use them. @internal */
  readonly connectionSources: Set<(node: Node) => Dispatcher> = new Set();
  /** A transport adds a function that counts its connections to a node; undefined for a node without any. @internal */
  readonly connectionCounters: Set<(node: Node) => ConnectionCounts | undefined> = new Set();

  /** Calls that wait for a connection, over all transports. @internal */
  waitingForConnection = 0;
  /** What keeps calls back; undefined where no option asks for it. @internal */
  readonly admission: Admission | undefined;

  readonly #guard: Guard;
  readonly #checks: Checks | undefined;
  readonly #hedgeDelay: HedgeDelay | undefined;
  readonly #latencyFloor: LatencyFloor = new LatencyFloor();
  readonly #wallOffsetMs: number;
  readonly #createdAt: number;
  readonly #readyWaiters: ReadyWaiters = new ReadyWaiters(this);
  readonly #onCollect = (collection: unknown): void =>
    (collection as Collection).add(observe(this, this.#createdAt, this.#wallOffsetMs));
  readonly #activeCalls: ActiveCalls = new ActiveCalls();
  /** What retries and hedges are paid from. */
  readonly #extras: ExtraAttempts;
  #closed = false;
  #destroyed = false;
  #closing: Promise<void> | undefined = undefined;

  /** @throws TypeError or RangeError that names the option and the value it got. */
  constructor(options: ClusterOptions) {
    this.options = resolveOptions(options);
    showNamesOnly(this.options.tls);
    enableDebugLog();
    this.tls = new TlsFiles(this.options.tls, (error) =>
      process.emitWarning(`${this.options.name}: ${error.message}`),
    );
    const { name, clock, discovery, scheme, allowEmpty, random } = this.options;
    this.name = name;
    this.clock = clock;
    this.rules = rulesOf(this.options);
    this.#createdAt = clock.now();
    this.#wallOffsetMs = Date.now() - this.#createdAt;
    this.deadlines = new Deadlines(clock);
    this.lag = new LoopLag(clock, () => this.#activeCalls.count > 0);
    this.#extras = new ExtraAttempts(this.options, this.#activeCalls);
    const { hedge } = this.options;
    this.#hedgeDelay = hedge?.share === undefined ? undefined : new HedgeDelay({ percentile: hedge.share });
    this.admission = this.#createAdmission();
    this.nodeSet = new NodeSet(this.options, (suspect) => this.#guard.confirmGone(suspect.key));
    const { check, snapshot } = this.options;
    const { tls } = this;
    this.#checks =
      check &&
      new Checks(check, {
        options: this.options,
        get tls() {
          return tls.current;
        },
        dispatcherFor: (node) => this.connectionSources.values().next().value?.(node),
        checked: (node, result) => this.#checked(node, result),
      });
    this.#guard = new Guard(discovery, {
      service: name,
      scheme,
      allowEmpty,
      snapshot: snapshot && { store: snapshotFile(snapshot.path, name), waitMs: snapshot.waitMs },
      clock,
      random,
      wallClock: () => clock.now() + this.#wallOffsetMs,
      apply: (set) => this.#apply(set),
      report: (error) => discoveryErrors.publish({ service: name, error }),
    });
    this.#guard.start();
    collections.subscribe(this.#onCollect);
  }

  /** All nodes, those that drain included. */
  get nodes(): readonly NodeView[] {
    const now = this.clock.now();
    this.nodeSet.refresh(now);
    return Array.from(this.nodeSet.nodes.values(), (node) => viewOf(node, now, this.#wallOffsetMs));
  }

  /** Whether every node is out and calls go out anyway. */
  get failingOpen(): boolean {
    return this.nodeSet.failingOpen;
  }

  get discoveryState(): DiscoveryState {
    return this.#guard.state;
  }

  /** How often the option `shadow` would have picked another node, and the spread that it would have given. */
  get shadowReport(): ShadowReport | undefined {
    return this.options.shadowed?.report;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Resolves when a node may be called.
   *
   * @param options `timeoutMs`: how long to wait, default 10,000.
   * @throws BalancerError ERR_NO_NODE when none may be in time, ERR_CLOSED when the cluster is closed.
   */
  async ready(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    const reader = new OptionReader(options, "ready");
    const timeoutMs = reader.number("timeoutMs", { default: 10_000, min: 0, max: longestTimerMs });
    reader.end();
    await this.#readyWaiters.wait(timeoutMs);
  }

  /**
   * Calls through any client: `call` is given a node and a signal, and run again on another node where that is
   * allowed.
   *
   * @throws BalancerError when no attempt gave an answer, its `cause` being what the last one threw; what `call`
   *   threw itself when that is an answer that is not tried again (a 404, a 500) or the caller's abort.
   */
  call<T>(call: (attempt: NodeAttempt) => Promise<T> | T, options?: CallOptions): Promise<T> {
    return FunctionCall.run(this, this.rules, call, options);
  }

  /** The same cluster with options for some calls: `orders.with({ totalMs: 500 }).call(...)`. */
  with(options: WithOptions): ClusterView {
    return new ClusterView(this, resolveRules(this.rules, options, "with"));
  }

  /** A connection broke or a server said that it goes: sources that ask at intervals may ask sooner. @internal */
  wakeDiscovery(): void {
    this.#guard.wake();
  }

  /** Sends no new calls to a node; false if there is no such node now. Holds if discovery names it again. */
  drain(address: string): boolean {
    return this.#setDrained(address, true);
  }

  /** Takes `drain` back; false if there is no such node now. */
  undrain(address: string): boolean {
    return this.#setDrained(address, false);
  }

  /**
   * Why calls go where they go: each node's cost by factor, why it is out and until when, and how likely it is
   * picked next. `String(explanation)` is a table for people.
   */
  explain(call: ExplainedCall = {}): Explanation {
    const now = this.clock.now();
    this.nodeSet.refresh(now);
    return explain(this.name, this.options.policy.name, this.nodeSet, call, now, this.#wallOffsetMs);
  }

  /** How limits and breaker stand; undefined where no option asks for either. */
  get admissionState(): AdmissionView | undefined {
    return this.admission?.view(this.clock.now());
  }

  /** Plain data for logs: what `nodes` says, and how the service is. */
  toJSON(): Summary {
    const { nodes, failingOpen, closed } = this;
    return {
      name: this.name,
      policy: this.options.policy.name,
      discovery: this.discoveryState.state,
      failingOpen,
      closed,
      states: countStates(nodes),
      nodes,
    };
  }

  /** @internal */
  describe(kind: string, depth: number, options: InspectOptions): string {
    return describeSummary(kind, this.toJSON(), depth, options, this.clock.now() + this.#wallOffsetMs);
  }

  /** Takes no new calls, waits for those under way, and lets everything go. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Ends at once: calls that wait fail with `error`. Attempts under way are the transports' to end. */
  destroy(error?: Error): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    const reason = error ?? new BalancerError("ERR_CLOSED", this.name, "the cluster was destroyed");
    this.cancel(this.deadlines.entries(), reason);
    this.#closed = true;
    this.#readyWaiters.close();
    this.#release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Ends calls, those first that wait for one of the others to make room. @internal */
  cancel(calls: Iterable<CallSpan>, reason: Error): void {
    const all = [...calls];
    for (const call of all) if (call.isKept) call.cancel(reason);
    for (const call of all) call.cancel(reason);
  }

  async #close(): Promise<void> {
    this.#closed = true;
    this.#readyWaiters.close();
    // Discovery goes on meanwhile: a call that waits for it, or is tried again, needs nodes.
    if (this.#activeCalls.count > 0) await this.#activeCalls.idle();
    this.#release();
  }

  #release(): void {
    collections.unsubscribe(this.#onCollect);
    this.#guard.close();
    this.#checks?.close();
    this.nodeSet.close();
    this.admission?.close();
    this.tls.close();
    this.lag.close();
    this.deadlines.close();
  }

  #createAdmission(): Admission | undefined {
    const { name, clock, random, limits, breaker } = this.options;
    if (limits === undefined && breaker === undefined) return undefined;
    return new Admission({
      service: name,
      clock,
      random,
      limits,
      breaker,
      floorMs: (now) => this.floorMs(now),
      waitingForConnection: () => this.waitingForConnection,
    });
  }

  #setDrained(address: string, drained: boolean): boolean {
    const key = parseAddress(address, this.options.scheme).text;
    const isKnown = this.nodeSet.setDrained(key, drained, this.clock.now());
    this.#readyWaiters.nodesChanged();
    return isKnown;
  }

  #apply(set: GuardedSet): void {
    const now = this.clock.now();
    const changes = this.nodeSet.apply(set, now);
    this.#checks?.apply(changes);
    if (discoveryUpdates.hasSubscribers) {
      discoveryUpdates.publish({
        service: this.name,
        endpoints: set.endpoints.length,
        added: changes.added.length,
        removed: changes.removed.length,
        changed: changes.changed.length,
      });
    }
    for (const listener of this.updateListeners) listener();
    this.#readyWaiters.nodesChanged();
    for (const call of [...this.waiting]) {
      this.waiting.delete(call);
      call.discovered(now);
    }
  }

  #checked(node: Node, result: CheckResult): void {
    this.nodeSet.checked(node, result, this.clock.now());
    this.#readyWaiters.nodesChanged();
  }

  // What calls use.

  /** @internal */
  get destroyed(): boolean {
    return this.#destroyed;
  }

  /** @internal */
  get awaitsDiscovery(): boolean {
    return this.#guard.state.state === "never";
  }

  /** @internal */
  callStarted(): void {
    this.#activeCalls.started();
  }

  /** @internal */
  callAdmitted(now: number): void {
    this.#extras.callAdmitted(now);
  }

  /** @internal */
  callEnded(): void {
    this.#activeCalls.ended();
  }

  /** @internal */
  hasRetryLeft(now: number): boolean {
    return this.#extras.hasRetryLeft(now);
  }

  /** @internal */
  withdrawRetry(now: number): boolean {
    return this.#extras.withdrawRetry(now);
  }

  /** @internal */
  hasHedgeLeft(now: number): boolean {
    return this.#extras.hasHedgeLeft(now);
  }

  /** @internal */
  withdrawHedge(now: number): boolean {
    return this.#extras.withdrawHedge(now);
  }

  /** A retry or hedge that was withdrawn is over, or so many of them. @internal */
  extraEnded(count = 1): void {
    this.#extras.ended(count);
  }

  /** How long after its start a call is sent a second time; `Infinity` for never. @internal */
  hedgeDelayMs(now: number): number {
    const { hedge } = this.options;
    if (hedge === undefined) return Number.POSITIVE_INFINITY;
    return hedge.afterMs ?? this.#hedgeDelay?.delayMs(now) ?? Number.POSITIVE_INFINITY;
  }

  /** The least time in which a call was answered lately; 0 while that is not known. @internal */
  floorMs(now: number): number {
    return this.#latencyFloor.floorMs(now);
  }

  /** Whether an attempt with so little time left is not to be made. @internal */
  isTooLate(leftMs: number, now: number): boolean {
    return this.#latencyFloor.refuses(leftMs, now);
  }

  /** An attempt was stopped since another one of its call was answered first. @internal */
  overtaken(attempt: Attempt, now: number): void {
    // It would have taken longer still. Left out, slow calls would look rarer with each one that is made good.
    if (!attempt.isHedge) this.#hedgeDelay?.observe(attempt.waitedMs(now, this.lag.blockedMs(now)), now);
  }

  /** @internal */
  begin(node: Node, number: number, now: number): Attempt {
    const attempt = new Attempt(node, number, now, this.lag.blockedMs(now));
    this.begun(attempt);
    return attempt;
  }

  /** For whoever makes its attempts itself. @internal */
  begun(attempt: Attempt): void {
    this.lag.start(attempt.startedAt);
    this.nodeSet.begun(attempt);
  }

  /** @internal */
  answered(attempt: Attempt, good: boolean, now: number): void {
    attempt.answered(good, now, this.lag.blockedMs(now), this.nodeSet.isSample(attempt));
    if (!good) return;
    this.nodeSet.answered(attempt, now);
    const { latencyMs } = attempt;
    if (latencyMs === undefined) return;
    this.#latencyFloor.observe(latencyMs, now);
    if (!attempt.isHedge) this.#hedgeDelay?.observe(latencyMs, now);
  }

  /** A good answer came, and its end with it. @internal */
  succeeded(attempt: Attempt, now: number): void {
    this.answered(attempt, true, now);
    // Whoever listens to the node's return may have ended it.
    if (attempt.ended) return;
    attempt.close(success, now);
    this.nodeSet.left(attempt.node);
  }

  /** @internal */
  settle(attempt: Attempt, outcome: Outcome, now: number): void {
    if (attempt.ended) return;
    const judged = this.nodeSet.judged(attempt, outcome);
    if (attempt.end(judged, now, this.lag.blockedMs(now))) this.nodeSet.settled(attempt, judged, now);
  }

  /** @internal */
  describeNoNode(): string {
    return this.awaitsDiscovery ? "discovery has named no node yet" : this.nodeSet.describe(this.clock.now());
  }
}
