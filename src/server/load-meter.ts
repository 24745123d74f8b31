/**
 * What this process reports of its load: calls and errors per second, and how much of its event loop, its processors and
 * its memory is in use.
 *
 * A Node.js server is full when its event loop is, long before all processors of its machine are: that is the
 * application's utilization.
 */
import { availableParallelism, totalmem } from "node:os";
import { performance } from "node:perf_hooks";
import type { LoadReport, LoadReportDraft } from "../core/load-report.ts";
import { SlidingSum } from "../core/window.ts";

/** What the operating system and Node.js tell of the process; sums since its start. */
export interface ProcessUse {
  cpuMs(): number;
  loopActiveMs(): number;
  /** In use, and what there is. */
  memory(): readonly [used: number, total: number];
  readonly processors: number;
}

/** Over how long calls are counted: gRPC believes a report after 10 s (gRFC A58). */
const windowMs = 10_000;
/** How often the process is looked at. Reading its memory is a system call. */
const sampleMs = 1_000;

export class LoadMeter {
  readonly #use: ProcessUse;
  readonly #startedAt: number;
  readonly #calls: SlidingSum = new SlidingSum(windowMs);
  readonly #errors: SlidingSum = new SlidingSum(windowMs);
  #sampledAt: number;
  #cpuMs: number;
  #loopMs: number;
  #sample: LoadReport = {};

  constructor(use: ProcessUse, now: number) {
    this.#use = use;
    this.#startedAt = now;
    this.#sampledAt = now;
    this.#cpuMs = use.cpuMs();
    this.#loopMs = use.loopActiveMs();
  }

  /** A call was answered. */
  count(isError: boolean, now: number): void {
    this.#calls.add(1, now);
    if (isError) this.#errors.add(1, now);
  }

  /** @param inflight as it is to be reported. */
  report(inflight: number, now: number): LoadReport {
    if (now - this.#sampledAt >= sampleMs) this.#look(now);
    return { ...this.#sample, inflight };
  }

  #look(now: number): void {
    const elapsedMs = now - this.#sampledAt;
    this.#sampledAt = now;
    const cpuMs = this.#use.cpuMs();
    const loopMs = this.#use.loopActiveMs();
    const [used, total] = this.#use.memory();
    const countedSeconds = Math.min(windowMs, now - this.#startedAt) / 1_000;
    const sample: LoadReportDraft = {
      applicationUtilization: rounded((loopMs - this.#loopMs) / elapsedMs),
      cpuUtilization: rounded((cpuMs - this.#cpuMs) / elapsedMs / this.#use.processors),
      memUtilization: rounded(used / total),
      rps: rounded(this.#calls.sum(now) / countedSeconds),
      eps: rounded(this.#errors.sum(now) / countedSeconds),
    };
    this.#cpuMs = cpuMs;
    this.#loopMs = loopMs;
    this.#sample = sample;
  }
}

export const thisProcess: ProcessUse = {
  cpuMs() {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000;
  },
  loopActiveMs: () => performance.eventLoopUtilization().active,
  memory() {
    // 0 or a number beyond all bounds where nothing limits the process.
    const limit = process.constrainedMemory() || Number.POSITIVE_INFINITY;
    return [process.memoryUsage.rss(), Math.min(limit, totalmem())];
  },
  processors: availableParallelism(),
};

/** To three digits behind the point: it goes out with every answer. */
function rounded(value: number): number {
  return Math.round(Math.max(0, value) * 1_000) / 1_000;
}
