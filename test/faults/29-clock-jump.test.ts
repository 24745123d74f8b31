/** Fault 29: the caller's wall clock jumps by an hour, forward and back, as when it is set. */
import { expect, test } from "vitest";
import { startBackend, startBackends } from "../../src/testing/backend.ts";
import { runChild } from "../support/child.ts";
import type { ClockJumpReport } from "../support/clock-jump-program.ts";
import { count, ms, percent, printFigure } from "../support/figure.ts";
import { WallClock } from "../support/wall-clock.ts";

const hourMs = 3_600_000;
const rate = 200;

test("a wall clock that jumps by an hour moves no timer, ejects no node and fails no call", async () => {
  await using stack = new AsyncDisposableStack();
  const clock = stack.use(new WallClock());
  const hanging = stack.use(await startBackend({ workMs: 10 * hourMs, workers: 1_000 }));
  const backends = await startBackends(3, { workMs: 1 });
  for (const backend of backends) stack.use(backend);
  const { report } = await runChild<ClockJumpReport>("clock-jump-program.ts", {
    environment: clock.environment,
    arguments: [hanging, ...backends].map(({ address }) => address),
    limitMs: 40_000,
  });
  const ours = report.timers.filter(({ what }) => what !== "setTimeout");
  const lateOf = (what: string): number =>
    Math.max(...report.timers.filter((timer) => timer.what === what).map(({ lateMs }) => lateMs));
  const furthest = Math.max(...ours.map(({ lateMs, dueMs }) => Math.abs(lateMs) / dueMs));
  printFigure(
    "29 clock jump",
    `the clock jumped by ${report.jumpsMs.map((jump) => `${(jump / hourMs).toFixed(2)} h`).join(", ")}`,
    `timers off by at most ${percent(furthest, 1)} (pass: 1%)`,
    `late by ${ms(lateOf("attemptMs"))} (attemptMs) and ${ms(lateOf("totalMs"))} (totalMs) of ${ms(ours[0]?.dueMs ?? 0)}, setTimeout by ${ms(lateOf("setTimeout"))}`,
    `changes of state: ${report.stateChanges} (pass: 0)`,
    `${report.failed} of ${count(report.calls)} failed (pass: 0)`,
    `${count(report.achievedRate)} calls/s`,
  );
  expect(report.achievedRate).toBeGreaterThan(0.95 * rate);
  const jumped = report.jumpsMs.map((jump) => Math.round(jump / hourMs));
  expect(jumped).toEqual([1, -2, 1]);
  expect(ours).toHaveLength(6);
  for (const { what, dueMs, lateMs } of ours) {
    // 1%, and what a busy machine makes of any timer.
    expect(lateMs, what).toBeGreaterThanOrEqual(-0.01 * dueMs);
    expect(lateMs, what).toBeLessThanOrEqual(0.01 * dueMs + 100 + Math.max(0, lateOf("setTimeout")));
  }
  expect(report.stateChanges).toBe(0);
  expect(report.failed, report.failures).toBe(0);
});
