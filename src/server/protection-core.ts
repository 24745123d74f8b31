/** What all adapters of one protected process share: the limit, the load, the drain. */
import { performance } from "node:perf_hooks";
import type { Clock } from "../core/clock.ts";
import type { CallPriority } from "../core/contracts.ts";
import { enableDebugLog } from "../core/debug.ts";
import { sheds } from "../core/events.ts";
import { formatLoadReport, type LoadReport } from "../core/load-report.ts";
import { AdaptiveLimit, type LimitedEnd } from "../resilience/adaptive-limit.ts";
import { Guard, type RefusalReason } from "./guard.ts";
import { LoadMeter, thisProcess } from "./load-meter.ts";
import { LoopPause } from "./loop-pause.ts";
import { LoopTurn } from "./loop-turn.ts";
import type { ArrivedCall, ResolvedProtectOptions } from "./protect-options.ts";
import type { Arrival, CallCounter, ServedCall } from "./served-call.ts";

export class ProtectionCore implements CallCounter {
  readonly options: ResolvedProtectOptions;
  readonly clock: Clock;
  readonly guard: Guard;
  readonly refused: Record<RefusalReason, number> = { deadline: 0, "event loop": 0, concurrency: 0 };
  readonly #draining: AbortController = new AbortController();
  readonly #meter: LoadMeter;
  /** Those that have carried a call. */
  readonly #connections: WeakSet<object> = new WeakSet();

  constructor(options: ResolvedProtectOptions) {
    enableDebugLog();
    const { clock, adaptive, inflight, turnMs } = options;
    const now = clock.now();
    const mostPerCallMs = turnMs / 2;
    this.options = options;
    this.clock = clock;
    this.#meter = new LoadMeter(thisProcess, now);
    this.guard = new Guard({
      adaptive: adaptive === undefined ? undefined : new AdaptiveLimit(adaptive),
      inflight,
      turnMs,
      turn: new LoopTurn(setImmediate, mostPerCallMs),
      pause: new LoopPause({
        idleMs: () => performance.nodeTiming.idleTime,
        now: () => clock.now(),
        afterTurn: setImmediate,
        mostPerCallMs,
      }),
    });
  }

  /** Aborted when the drain begins. */
  get drainSignal(): AbortSignal {
    return this.#draining.signal;
  }

  drain(): void {
    this.#draining.abort();
  }

  isExempt(method: string, path: string): boolean {
    return this.options.exempt?.({ method, path }) === true;
  }

  /** Whether it is the first call of its connection that is asked for. */
  isFresh(connection: object | undefined): boolean {
    if (connection === undefined || this.#connections.has(connection)) return false;
    this.#connections.add(connection);
    return true;
  }

  /** Why the call is refused; undefined when it is let in, and then counted until its `ServedCall` has ended. */
  admit(
    { priority, endsAt, isCounted, isFresh }: Arrival,
    { method, path }: ArrivedCall,
    now: number,
  ): RefusalReason | undefined {
    let reason: RefusalReason | undefined;
    if (isCounted) reason = this.guard.admit(priority, endsAt, isFresh, now);
    else if (endsAt <= now) reason = "deadline";
    if (reason === undefined) return undefined;
    this.refused[reason]++;
    if (sheds.hasSubscribers) {
      const { inflight, limit } = this.guard;
      sheds.publish({ service: this.options.name, method, path, priority, reason, inflight, limit });
    }
    return reason;
  }

  ended({ isCounted, context }: ServedCall, result: LimitedEnd, latencyMs: number, now: number): void {
    if (!isCounted) return;
    // What a service below this one did, and how long it took for that, is no queue that letting in less would shorten.
    this.guard.end(context.failedBelow ? "ignored" : result, latencyMs, now);
    this.#meter.count(result === "failure", now);
  }

  /** What an answer tells of the load; undefined where answers tell nothing. */
  loadReport({ isCounted }: ServedCall): LoadReport | undefined {
    if (!this.options.loadReports) return undefined;
    // Without the call itself: when its caller reads this, it is over.
    const inflight = this.guard.inflight - (isCounted ? 1 : 0);
    return this.#meter.report(Math.max(0, inflight), this.clock.now());
  }

  loadHeader(call: ServedCall): string | undefined {
    const report = this.loadReport(call);
    return report === undefined ? undefined : formatLoadReport(report);
  }
}

/** @param value of `evenkeel-priority`. What is no priority is the usual one. */
export function priorityOf(value: unknown): CallPriority {
  return value === "critical" || value === "sheddable" ? value : "default";
}
