/** A cluster in virtual time, and calls over it whose answers a test gives: for the unit tests of calls. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { Call } from "../cluster/call.ts";
import { Cluster } from "../cluster/cluster.ts";
import type { CallOptions, NodeAttempt } from "../cluster/function-call.ts";
import type { ClusterOptions } from "../cluster/options.ts";
import type { Attempt } from "../core/attempt.ts";
import type { BalancerError } from "../core/errors.ts";
import type { Events } from "../core/events.ts";
import type { Outcome } from "../core/outcome.ts";
import { roundRobin } from "../policy/round-robin.ts";
import { ManualClock } from "./manual-clock.ts";

const [a, b, c] = ["http://a", "http://b", "http://c"] as const;

const releases: (() => void)[] = [];

/** Ends all that harnesses began: for `afterEach`. */
export function releaseHarness(): void {
  for (const release of releases.splice(0)) release();
}

/** Does it when the harness is released. */
export function whenReleased(release: () => void): void {
  releases.push(release);
}

/** The events of a channel from now until `releaseHarness`. */
export function listen<Name extends keyof Events>(name: Name): Events[Name][] {
  const events: Events[Name][] = [];
  const listener = (event: unknown) => events.push(event as Events[Name]);
  subscribe(name, listener);
  releases.push(() => unsubscribe(name, listener));
  return events;
}

/** What a call came to, once it has. */
export interface Ended {
  readonly value?: unknown;
  readonly error?: unknown;
  readonly at: number;
}

export class Harness {
  readonly clock: ManualClock = new ManualClock(1_000);
  readonly cluster: Cluster;
  /** The node of each attempt, over all calls. */
  readonly tried: string[] = [];
  readonly attempts: NodeAttempt[] = [];

  /** Waits before retries are half of their longest: 12.5 ms, then 25. */
  constructor(options: Partial<ClusterOptions> = {}) {
    this.cluster = new Cluster({
      name: "orders",
      discovery: [a, b, c],
      clock: this.clock,
      random: () => 0.5,
      policy: roundRobin({ random: () => 0 }),
      ...options,
    });
    releases.push(() => this.cluster.destroy());
  }

  get inflight(): number {
    return this.cluster.nodes.reduce((sum, { inflight }) => sum + inflight, 0);
  }

  /** Answers after `ms`, unless it is aborted before. */
  async after<T>(ms: number, { signal }: NodeAttempt, answer: () => T): Promise<T> {
    await new Promise<void>((resolve, reject) => {
      const timer = this.clock.schedule(resolve, ms);
      signal.addEventListener("abort", () => {
        timer.cancel();
        reject(signal.reason);
      });
    });
    return answer();
  }

  /** Never answers, and does not heed the signal. */
  hang(): Promise<never> {
    return new Promise(() => {});
  }

  call(send: (attempt: NodeAttempt) => unknown, options?: CallOptions): { ended: Ended | undefined } {
    const state: { ended: Ended | undefined } = { ended: undefined };
    this.cluster
      .call((attempt) => {
        this.tried.push(attempt.node.key);
        this.attempts.push(attempt);
        return send(attempt);
      }, options)
      .then(
        (value) => {
          if (state.ended !== undefined) throw new Error("the call ended twice");
          state.ended = { value, at: this.clock.now() - 1_000 };
        },
        (error: unknown) => {
          state.ended = { error, at: this.clock.now() - 1_000 };
        },
      );
    return state;
  }

  /** The error of a call that runs to its end within a minute. */
  async errorOf(send: (attempt: NodeAttempt) => unknown, options?: CallOptions): Promise<BalancerError> {
    const call = this.call(send, options);
    await this.clock.advanceAsync(60_000);
    return call.ended?.error as BalancerError;
  }

  async resultOf(send: (attempt: NodeAttempt) => unknown, options?: CallOptions): Promise<unknown> {
    const call = this.call(send, options);
    await this.clock.advanceAsync(60_000);
    if (call.ended?.error !== undefined) throw call.ended.error;
    return call.ended?.value;
  }
}

/** A transport whose answers the test gives piece by piece, as HTTP's do. */
export class ScriptedCall extends Call {
  readonly sent: Attempt[] = [];
  readonly stopped: Error[] = [];
  readonly failed: Error[] = [];
  releases = 0;
  repeatable = true;
  unsent = false;

  static start(cluster: Cluster, options: { idempotent?: boolean; totalMs?: number } = {}): ScriptedCall {
    const { idempotent: mayRepeat = true, totalMs = 30_000 } = options;
    const call = new ScriptedCall(cluster, "GET", "/", mayRepeat, { ...cluster.rules, totalMs });
    call.start();
    return call;
  }

  header(): undefined {
    return undefined;
  }

  protected canRepeatBody(): boolean {
    return this.repeatable;
  }

  protected canRace(): boolean {
    return true;
  }

  protected send(attempt: Attempt): void {
    this.sent.push(attempt);
  }

  protected isUnsent(): boolean {
    return this.unsent;
  }

  protected stop(_attempt: Attempt, error: Error): void {
    this.stopped.push(error);
  }

  protected fail(error: Error): void {
    this.failed.push(error);
  }

  protected released(): void {
    this.releases++;
  }

  headers(good = true, endless = false): void {
    this.answered(this.attempt as Attempt, good, endless);
  }

  headersOf(attempt: Attempt | undefined): void {
    this.answered(attempt as Attempt, true, false);
  }

  breakAttempt(attempt: Attempt | undefined, outcome: Outcome): void {
    this.attemptFailed(attempt as Attempt, outcome, new Error("broken"), false);
  }

  end(outcome: Outcome): void {
    this.complete(outcome);
  }

  break(outcome: Outcome, error: Error = new Error("broken"), unsent = false): void {
    this.attemptFailed(this.attempt as Attempt, outcome, error, unsent);
  }

  retry(outcome: Outcome, retryAfterMs = 0): boolean {
    return this.tryAgain(this.attempt as Attempt, outcome, undefined, false, retryAfterMs);
  }

  get triedKeys(): readonly string[] {
    return this.sent.map(({ node }) => node.key);
  }
}
