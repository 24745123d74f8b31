/** A program that calls on while its wall clock jumps, and reports how long its timers took by the monotonic one. */
import { setTimeout as sleep } from "node:timers/promises";
import { Balancer } from "../../src/index.ts";
import { drive } from "./drive.ts";
import { Recorder } from "./recorder.ts";
import { jumpWallClock } from "./wall-clock.ts";

export interface ClockJumpReport {
  readonly calls: number;
  readonly failed: number;
  readonly failures: string;
  readonly achievedRate: number;
  readonly stateChanges: number;
  /** How far the wall clock went from the monotonic one with each jump, in ms. */
  readonly jumpsMs: readonly number[];
  /** Of each timer that ran while a jump came: what it is, how long it was to take, and how much later it fired. */
  readonly timers: readonly { readonly what: string; readonly dueMs: number; readonly lateMs: number }[];
}

const [hanging = "", ...nodes] = process.argv.slice(2);
const offsetsSeconds = [3_600, -3_600, 0];
const timerMs = 1_500;

/** How much longer than `dueMs` until the promise is settled, either way. */
async function lateness(
  what: string,
  dueMs: number,
  settled: Promise<unknown>,
): Promise<ClockJumpReport["timers"][number]> {
  const startedAt = performance.now();
  await settled.catch(() => {});
  return { what, dueMs, lateMs: performance.now() - startedAt - dueMs };
}

/** One call that nobody answers, which the named timeout ends. */
async function endedBy(timeouts: { readonly attemptMs?: number; readonly totalMs?: number }): Promise<void> {
  await using waiting = new Balancer({ name: "waiting", discovery: [hanging], timeouts, retry: false });
  await waiting.request({ path: "/", method: "GET" });
}

function wallOffset(): number {
  return Date.now() - performance.now();
}

const recorder = new Recorder("clock-jump");
const balancer = new Balancer({ name: "clock-jump", discovery: nodes });
await balancer.ready();
const driving = drive({ ratePerSecond: 200, seconds: 7 }, async () => {
  const { statusCode, body } = await balancer.request({ path: "/", method: "GET" });
  await body.text();
  if (statusCode !== 200) throw new Error(`status ${statusCode}`);
});
await sleep(500);
const jumpsMs: number[] = [];
const timers: ClockJumpReport["timers"][number][] = [];
for (const offset of offsetsSeconds) {
  const running = [
    // What this process's own timers are late by is not the balancer's doing.
    lateness("setTimeout", timerMs, sleep(timerMs)),
    lateness("attemptMs", timerMs, endedBy({ attemptMs: timerMs })),
    lateness("totalMs", timerMs, endedBy({ totalMs: timerMs })),
  ];
  await sleep(timerMs / 3);
  const before = wallOffset();
  jumpWallClock(offset);
  jumpsMs.push(Math.round(wallOffset() - before));
  timers.push(...(await Promise.all(running)));
}
const result = await driving;
const stateChanges = recorder.states.filter(({ from }) => from !== "new").length;
await balancer.close();

const report: ClockJumpReport = {
  calls: result.calls.length,
  failed: result.failed.length,
  failures: result.describeFailures(),
  achievedRate: result.achievedRate,
  stateChanges,
  jumpsMs,
  timers,
};
console.log(JSON.stringify(report));
