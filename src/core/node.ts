/**
 * The live state of one endpoint inside this process: how busy, how fast, how reliable.
 *
 * A node outlives updates of its endpoint: discovery changes `endpoint`, calls change the rest. Policies read
 * the plain fields; only the cluster and the attempts on the node write them.
 */
import type { CheckedEndpoint } from "./endpoint.ts";
import { blend, fade } from "./ewma.ts";
import type { Fleet } from "./fleet.ts";
import type { LoadReport } from "./load-report.ts";
import type { Outcome } from "./outcome.ts";
import { inspectBy } from "./summary.ts";
import type { NodeState } from "./view.ts";
import { SlidingSum } from "./window.ts";

/** Gain of a node's latency average, and how fast it fades to the fleet's (algorithms.md, "least cost"). */
const latencyGain = 0.1;
const latencyFadeMs = 5_000;
/** Gain of the failure rate, and how fast it is forgiven (algorithms.md, "least cost"). */
const failureGain = 0.2;
const failureFadeMs = 5_000;
/** How fast a reported number of calls in flight is forgotten (algorithms.md, "least cost", with load reports). */
const reportFadeMs = 1_000;
/** Over how long failures are counted for ejection by rate. Envoy and Finagle look back 10 s and 30 s. */
export const recentWindowMs = 10_000;

/** A node that says nothing for that long begins anew to report (A58: weight_expiration_period). */
export const reportGapMs = 180_000;

/**
 * What a refusal for load counts towards ejection. A node at three times its load refuses five in a row now and then,
 * but hardly ever twenty; and one that refuses all for twenty calls is of no use.
 */
const overloadWeight = 0.25;

/** Whether the node takes calls. What is `out` waits until `until`, then one trial call decides. */
export type Health =
  | { readonly kind: "in" }
  | {
      readonly kind: "out";
      /** `down`: nobody answers there. `ejected`: it answers, but badly. */
      readonly state: "down" | "ejected";
      readonly reason: string;
      readonly since: number;
      readonly until: number;
    }
  | {
      readonly kind: "probing";
      /** What it was before. */
      readonly from: "down" | "ejected";
      readonly reason: string;
      readonly since: number;
      /** A call that decides is under way. */
      readonly onTrial: boolean;
    };

const inService: Health = { kind: "in" };

/** What active checks say of the node. Nothing known is as good as passing. */
export type CheckVerdict =
  | { readonly kind: "unknown" }
  | { readonly kind: "passing" }
  | { readonly kind: "failing"; readonly detail: string };

export const unchecked: CheckVerdict = { kind: "unknown" };

/** Why a node gets no new calls although discovery or the program still knows it. */
export type DrainCause = "removed by discovery" | "drained by the program" | "weight 0";

/** A node as plain data, without what depends on the time. */
export interface NodeSummary {
  readonly address: string;
  /** As last published; `new` before that. */
  readonly state: NodeState | "new";
  /** The configured weight. */
  readonly weight: number;
  readonly zone: string | undefined;
  readonly priority: number;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly inflight: number;
  readonly latencyMs: number;
  readonly failureRate: number;
  readonly calls: number;
  readonly failures: number;
}

export class Node {
  static {
    inspectBy(Node.prototype, ({ key, shownState, inflight, latencyMs, failureRate }) => {
      const latency = `${latencyMs.toFixed(1)} ms`;
      return `Node ${key} (${shownState}, ${inflight} in flight, ${latency}, failure rate ${failureRate.toFixed(2)})`;
    });
  }

  /** The canonical address; a node is the same node as long as its key is. */
  readonly key: string;
  readonly since: number;
  endpoint: CheckedEndpoint;

  /** The weight that counts now: the configured one, less while warming up. Above 0 for any node picked from. */
  weight: number;
  /** Calls sent whose response has not ended. */
  inflight = 0;
  /** Expected time to the final response headers, as of the last refresh. */
  latencyMs: number;
  /** Share of attempts that fail, from 0 to 1, as of the last refresh. */
  failureRate = 0;
  /** What it said of itself last, with a good answer; undefined when its last good answer said nothing. */
  report: LoadReport | undefined = undefined;
  /** When that was, and since when it has reported without a break that long. */
  reportedAt: number = Number.NEGATIVE_INFINITY;
  reportingSince: number = Number.NEGATIVE_INFINITY;
  /** Calls that it is likely to have in flight from all its callers, as of the last refresh; 0 without a report. */
  reportedInflight = 0;
  /** True until the first success of a node that joined later: preferably one call at a time. */
  fresh: boolean;
  /** All attempts that ended as success or failure, and those that failed. */
  calls = 0;
  failures = 0;

  /** By the outcomes of calls. Independent of `check`: a node is called when both are for it. */
  health: Health = inService;
  check: CheckVerdict = unchecked;
  /** Failures since the last success; refusals for load count a quarter. */
  consecutiveFailures = 0;
  lastFailureAt: number = Number.NEGATIVE_INFINITY;
  /** How often in a row it was taken out; the penalty doubles with each. */
  strikes = 0;
  /** A passing check has brought a trial forward since it went down. */
  hastenedByCheck = false;
  /** When it last came back into service. */
  returnedAt: number = Number.NEGATIVE_INFINITY;
  /** It would be out, but it is the last one. */
  spared = false;

  /** It takes no new calls because discovery removed it or the program drained it. */
  removedAt: number | undefined;
  drainedByProgram = false;
  /** Gone from the registry in a suspiciously large removal, and still kept. */
  suspect = false;
  /** When its warm-up ends; in the past for nodes that need none. */
  warmUntil: number = Number.NEGATIVE_INFINITY;
  warmUpReason = "joined lately";

  /** The state that was last published. */
  shownState: NodeState | "new" = "new";

  readonly recentCalls: SlidingSum = new SlidingSum(recentWindowMs);
  readonly recentFailures: SlidingSum = new SlidingSum(recentWindowMs);

  readonly #fleet: Fleet;
  #fadedAt: number;

  constructor(endpoint: CheckedEndpoint, fleet: Fleet, now: number, fresh: boolean) {
    this.key = endpoint.address.text;
    this.endpoint = endpoint;
    this.weight = endpoint.weight;
    this.since = now;
    this.fresh = fresh;
    this.latencyMs = fleet.latencyMs;
    this.#fleet = fleet;
    this.#fadedAt = now;
  }

  /** Whether nothing is against it: neither outcomes nor its check. A drain is another matter. */
  get isFit(): boolean {
    return this.health.kind === "in" && this.check.kind !== "failing";
  }

  /** Why it gets no new calls, or undefined when it may. */
  get drainCause(): DrainCause | undefined {
    if (this.removedAt !== undefined) return "removed by discovery";
    if (this.drainedByProgram) return "drained by the program";
    return this.endpoint.weight === 0 ? "weight 0" : undefined;
  }

  /**
   * The URL of a path on this node, for clients that take URLs: `node.url("/v1/orders/42")`.
   *
   * @throws TypeError for a Unix socket, which has no URL.
   */
  url(path: string): string {
    if (this.endpoint.address.scheme === "unix")
      throw new TypeError(`${this.key} is a socket and has no URL`);
    return path.startsWith("/") ? this.key + path : `${this.key}/${path}`;
  }

  /** What is known of it, as of the last refresh, as plain data. */
  toJSON(): NodeSummary {
    const { endpoint, inflight, latencyMs, failureRate, calls, failures } = this;
    const { zone, priority, metadata } = endpoint;
    return {
      address: this.key,
      state: this.shownState,
      weight: endpoint.weight,
      zone,
      priority,
      metadata,
      inflight,
      latencyMs,
      failureRate,
      calls,
      failures,
    };
  }

  /** The time up to which its averages have faded. A picker, which asks no clock, takes it for now. */
  get asOf(): number {
    return this.#fadedAt;
  }

  /** Lets the averages fade for the time since they last did. */
  refresh(now: number): void {
    const elapsedMs = now - this.#fadedAt;
    if (elapsedMs <= 0) return;
    this.#fadedAt = now;
    this.latencyMs = fade(this.latencyMs, this.#fleet.latencyMs, elapsedMs, latencyFadeMs);
    if (this.failureRate !== 0) {
      const failureRate = fade(this.failureRate, 0, elapsedMs, failureFadeMs);
      this.failureRate = failureRate < 1e-6 ? 0 : failureRate;
    }
    if (this.report !== undefined) {
      const usual = this.#fleet.inflightPerWeight * this.weight;
      this.reportedInflight = fade(this.reportedInflight, usual, elapsedMs, reportFadeMs);
    }
  }

  /** Counts a call in. Every begin is paired with one `end`. */
  begin(): void {
    this.inflight++;
    // Not in the last report, and in the next one.
    if (this.report !== undefined) this.reportedInflight++;
  }

  /**
   * A good answer said how busy the node is, or said nothing of it: one that reports no more must not be judged for
   * ever by what it said once, and by each call that it was sent since.
   */
  reported(report: LoadReport | undefined, now: number): void {
    this.refresh(now);
    this.report = report;
    this.reportedInflight = 0;
    if (report === undefined) {
      this.reportedAt = Number.NEGATIVE_INFINITY;
      return;
    }
    if (now - this.reportedAt > reportGapMs) this.reportingSince = now;
    this.reportedAt = now;
    const { inflight } = report;
    if (inflight === undefined) return;
    this.reportedInflight = inflight;
    const { weight } = this.endpoint;
    if (weight > 0) this.#fleet.observeInflight(inflight / weight);
  }

  /** The final headers of a successful answer came after `elapsedMs`. */
  answered(elapsedMs: number, now: number): void {
    this.refresh(now);
    this.#fleet.observe(elapsedMs);
    this.latencyMs = blend(this.latencyMs, elapsedMs, latencyGain);
    this.fresh = false;
  }

  /** An attempt took at least `elapsedMs` without a good answer: that may raise the average, never lower it. */
  stalled(elapsedMs: number, now: number): void {
    this.refresh(now);
    if (elapsedMs > this.latencyMs) this.latencyMs = blend(this.latencyMs, elapsedMs, latencyGain);
  }

  /** Counts a call out. */
  end(outcome: Outcome, now: number): void {
    this.inflight--;
    if (outcome.kind === "ignored") return;
    this.calls++;
    this.recentCalls.add(1, now);
    if (outcome.kind === "success") {
      if (this.failureRate !== 0) {
        this.refresh(now);
        this.failureRate = blend(this.failureRate, 0, failureGain);
      }
      this.consecutiveFailures = 0;
      return;
    }
    this.refresh(now);
    this.failures++;
    this.failureRate = blend(this.failureRate, 1, failureGain);
    // It is there and does its work; what it needs does not.
    if (outcome.reason === "dependency") return;
    const weight = outcome.reason === "overloaded" ? overloadWeight : 1;
    this.recentFailures.add(weight, now);
    this.consecutiveFailures += weight;
    this.lastFailureAt = now;
  }

  /** It failed without a call having been under way. */
  failedBetweenCalls(now: number): void {
    this.refresh(now);
    this.failureRate = blend(this.failureRate, 1, failureGain);
    this.consecutiveFailures++;
    this.lastFailureAt = now;
  }

  /**
   * The node is not there. How fast it was says nothing of what comes back in its place, and when all are gone it
   * would keep calls from those that were slower, the first to return perhaps among them.
   */
  forgetLatency(): void {
    this.latencyMs = this.#fleet.latencyMs;
  }

  /**
   * Puts the node back into service, as far as outcomes go. What took it out was paid for and does not count again.
   */
  restore(now: number): void {
    this.health = inService;
    this.returnedAt = now;
    this.hastenedByCheck = false;
    this.startAnew();
  }

  /**
   * It was out, or what it failed of was not its doing. Its averages would keep it without calls for many times
   * `latencyFadeMs`, and a single failure would be the last of many: it starts as an unknown node does.
   */
  startAnew(): void {
    this.latencyMs = this.#fleet.latencyMs;
    this.failureRate = 0;
    this.consecutiveFailures = 0;
    this.recentCalls.clear();
    this.recentFailures.clear();
    this.report = undefined;
    this.reportedAt = Number.NEGATIVE_INFINITY;
    this.reportedInflight = 0;
    this.spared = false;
  }
}
