/**
 * An open-loop load driver: calls start at a fixed rate whether or not earlier ones have ended, and each one's
 * time counts from when it was due.
 *
 * A closed loop would slow down with the service and hide how many callers a fault hits, and a driver that is late
 * would shorten the times that it measures ("coordinated omission").
 */
import { setTimeout as sleep } from "node:timers/promises";
import { percentile } from "./percentile.ts";

export interface DriveOptions {
  readonly ratePerSecond: number;
  readonly seconds: number;
}

/** What became of one call. */
export interface DrivenCall {
  readonly index: number;
  /** Milliseconds from the start of the drive at which it was due. */
  readonly dueMs: number;
  /** From when it was due to its end. */
  readonly tookMs: number;
  readonly error: unknown;
}

export class DriveResult {
  /** In the order in which they ended. */
  readonly calls: readonly DrivenCall[];
  /** Calls for each second that were really started. */
  readonly achievedRate: number;

  constructor(calls: readonly DrivenCall[], achievedRate: number) {
    this.calls = calls;
    this.achievedRate = achievedRate;
  }

  get failed(): readonly DrivenCall[] {
    return this.calls.filter(({ error }) => error !== undefined);
  }

  /** The given share (0.99) of the calls, failed ones included, took at most this many milliseconds. */
  percentile(share: number): number {
    return percentile(
      this.calls.map(({ tookMs }) => tookMs),
      share,
    );
  }

  /** What the failed calls met, the most frequent first, for a figure or a message. */
  describeFailures(): string {
    const counts = new Map<string, number>();
    for (const { error } of this.failed) {
      const text = error instanceof Error ? error.message : String(error);
      counts.set(text, (counts.get(text) ?? 0) + 1);
    }
    const sorted = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 5);
    return sorted.map(([text, count]) => `${count} x ${text}`).join("; ");
  }
}

/** Drives calls; `call` is given their number, from 0, and rejects for a call that failed. Resolves when all ended. */
export async function drive(
  { ratePerSecond, seconds }: DriveOptions,
  call: (index: number) => Promise<void>,
): Promise<DriveResult> {
  const total = Math.round(ratePerSecond * seconds);
  const ended: DrivenCall[] = [];
  const running: Promise<void>[] = [];
  const startedAt = performance.now();
  let next = 0;
  while (next < total) {
    const elapsedMs = performance.now() - startedAt;
    for (; next < total && dueMs(next, ratePerSecond) <= elapsedMs; next++) {
      running.push(observe(call, next, startedAt, dueMs(next, ratePerSecond), ended));
    }
    await sleep(1);
  }
  const startingTookMs = Math.max(performance.now() - startedAt, seconds * 1_000);
  await Promise.all(running);
  return new DriveResult(ended, total / (startingTookMs / 1_000));
}

function dueMs(index: number, ratePerSecond: number): number {
  return (index * 1_000) / ratePerSecond;
}

async function observe(
  call: (index: number) => Promise<void>,
  index: number,
  startedAt: number,
  dueAt: number,
  ended: DrivenCall[],
): Promise<void> {
  let error: unknown;
  try {
    await call(index);
  } catch (thrown) {
    error = thrown ?? new Error("rejected with nothing");
  }
  ended.push({ index, dueMs: dueAt, tookMs: performance.now() - startedAt - dueAt, error });
}
