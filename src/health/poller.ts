/**
 * Probes one node at intervals and turns what the probes find into verdicts.
 *
 * The first probe comes after a random part of the interval and the others with jitter, so that neither the nodes of
 * one cluster nor the many processes that check the same node are in step.
 */
import { outcomeOfError } from "../core/classify.ts";
import type { Clock, Timer } from "../core/clock.ts";
import type { CheckResult, CheckTarget } from "../core/health-check.ts";
import { LoopLag } from "../core/loop-lag.ts";
import { failure, ignored, type Outcome } from "../core/outcome.ts";
import { RiseFall, type RiseFallRules } from "./rise-fall.ts";

export interface PollRules extends RiseFallRules {
  /** From the end of one probe to the start of the next. */
  readonly intervalMs: number;
  /** What one probe may take. */
  readonly timeoutMs: number;
  /** By up to this share an interval is longer or shorter. */
  readonly jitter: number;
}

/** Starts one probe, which ends with success, with a failure of the node, or ignored where it says nothing. */
export type Probe = (target: CheckTarget, end: (outcome: Outcome) => void) => RunningProbe;

export interface RunningProbe {
  /** Whether it is the node that the probe waits for, and not something of our own. */
  readonly isWaitingForNode: boolean;
  /** Gives the probe up and releases what it holds. */
  cancel(): void;
}

/** A node that is down is looked at this many times as often: each probe that it is back earlier is worth having. */
const fasterWhileDown = 4;
/** But not more often than this, unless the interval is shorter. */
const leastFasterMs = 1_000;

/** The wait before the next probe; `isSettled` while the node is known to pass. */
export function pollDelayMs(rules: PollRules, isSettled: boolean, random: number): number {
  const { intervalMs, jitter } = rules;
  const fasterMs = Math.max(intervalMs / fasterWhileDown, Math.min(intervalMs, leastFasterMs));
  return (isSettled ? intervalMs : fasterMs) * (1 - jitter + 2 * jitter * random);
}

export class Poller implements Disposable {
  readonly #target: CheckTarget;
  readonly #rules: PollRules;
  readonly #startProbe: Probe;
  readonly #report: (result: CheckResult) => void;
  readonly #clock: Clock;
  readonly #lag: LoopLag;
  readonly #counts: RiseFall;
  #running: RunningProbe | undefined = undefined;
  #timer: Timer;
  #isOver = false;

  constructor(target: CheckTarget, rules: PollRules, probe: Probe, report: (result: CheckResult) => void) {
    this.#target = target;
    this.#rules = rules;
    this.#startProbe = probe;
    this.#report = report;
    this.#clock = target.clock;
    this.#lag = new LoopLag(target.clock, () => this.#running !== undefined);
    this.#counts = new RiseFall(rules);
    this.#timer = this.#clock.schedule(() => this.#probe(), target.random() * rules.intervalMs);
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#timer.cancel();
    this.#lag.close();
    this.#running?.cancel();
    this.#running = undefined;
  }

  #probe(): void {
    const startedAt = this.#clock.now();
    this.#lag.start(startedAt);
    const blockedBefore = this.#lag.blockedMs(startedAt);
    let hasEnded = false;
    const end = (outcome: Outcome) => {
      if (hasEnded || this.#isOver) return;
      hasEnded = true;
      this.#ended(outcome);
    };
    const runOut = () => {
      // Time in which this process could not have noticed an answer is given back.
      const now = this.#clock.now();
      const elapsedMs = now - startedAt - (this.#lag.blockedMs(now) - blockedBefore);
      const leftMs = this.#rules.timeoutMs - elapsedMs;
      if (leftMs > 0) {
        this.#timer = this.#clock.schedule(runOut, leftMs);
        return;
      }
      const isToBlame = this.#running?.isWaitingForNode !== false;
      this.#running?.cancel();
      const detail = `no answer within ${this.#rules.timeoutMs} ms`;
      end(isToBlame ? failure("timeout", detail) : ignored("shortage", detail));
    };
    this.#timer = this.#clock.schedule(runOut, this.#rules.timeoutMs);
    try {
      const running = this.#startProbe(this.#target, end);
      // It may have ended already.
      if (!hasEnded) this.#running = running;
    } catch (error) {
      // As of a TLS key that cannot be read; calls to the node fail of it, too.
      end(outcomeOfError(error));
    }
  }

  #ended(outcome: Outcome): void {
    this.#running = undefined;
    this.#timer.cancel();
    const counts = this.#counts;
    const hasVerdict = outcome.kind !== "ignored" && counts.count(outcome.kind === "success");
    const delayMs = pollDelayMs(this.#rules, counts.verdict === "passing", this.#target.random());
    this.#timer = this.#clock.schedule(() => this.#probe(), delayMs);
    // Last, since whoever is told may end this watch.
    if (hasVerdict) this.#report(resultOf(outcome, counts.failedInARow));
  }
}

function resultOf(outcome: Outcome, failedInARow: number): CheckResult {
  if (outcome.kind === "success") return { healthy: true, detail: "" };
  const detail = outcome.detail === "" ? outcome.reason : outcome.detail;
  return { healthy: false, detail: failedInARow === 1 ? detail : `${detail} (${failedInARow} in a row)` };
}
