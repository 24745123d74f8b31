/** Fault 30: the caller's own event loop stands still for 2 s while its nodes are in good health. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { drive } from "../support/drive.ts";
import { count, ms, printFigure } from "../support/figure.ts";
import { startService } from "../support/service.ts";

const blockMs = 2_000;
const rate = 500;

function block(): void {
  const until = performance.now() + blockMs;
  while (performance.now() < until);
}

test("calls in flight while the caller is blocked fail nobody and are held against no node", async () => {
  await using service = await startService(
    "blocked",
    5,
    { workMs: 50, workers: 100 },
    { timeouts: { attemptMs: 300, connectMs: 300, totalMs: 10_000 } },
  );
  const { balancer, recorder } = service;
  const blocks: number[] = [];

  const driving = drive({ ratePerSecond: rate, seconds: 7 }, () => service.call());
  await sleep(2_000);
  const inflight = balancer.nodes.reduce((sum, node) => sum + node.inflight, 0);
  block();
  blocks.push(inflight);
  await sleep(2_000);
  const result = await driving;

  const failedAttempts = recorder.ends.filter(({ outcome }) => outcome === "failure");
  const slowest = Math.max(...recorder.ends.map(({ latencyMs }) => latencyMs ?? 0));
  const waited = recorder.ends.filter(({ durationMs }) => durationMs >= 300).length;
  printFigure(
    "30 blocked caller",
    `ejections: ${recorder.ejections} (pass: 0)`,
    `${result.failed.length} of ${count(result.calls.length)} failed (pass: 0)`,
    `${inflight} calls were in flight when the loop stood still for ${ms(blockMs)}`,
    `${waited} attempts lasted longer than the 300 ms they are allowed`,
    `attempts held against nodes: ${failedAttempts.length} (pass: 0)`,
    `longest latency on record ${ms(slowest)}`,
  );
  expect(inflight).toBeGreaterThan(0);
  expect(waited).toBeGreaterThanOrEqual(inflight);
  expect(recorder.ejections).toBe(0);
  expect(failedAttempts).toHaveLength(0);
  expect(result.failed, result.describeFailures()).toHaveLength(0);
});

test("connections that were being made while the caller was blocked are not given up", async () => {
  await using service = await startService(
    "blocked-connecting",
    5,
    { workMs: 5, workers: 100 },
    { timeouts: { attemptMs: 2_000, connectMs: 300, totalMs: 10_000 } },
  );
  const { balancer, recorder } = service;
  let connects = 0;
  balancer.on("connect", () => {
    connects++;
  });
  const calls = Array.from({ length: 100 }, () => service.call());
  const connectsBefore = connects;
  // All of them wait for their connection, whose answer cannot be read meanwhile.
  block();
  const results = await Promise.allSettled(calls);

  const failed = results.filter(({ status }) => status === "rejected").length;
  const failedAttempts = recorder.ends.filter(({ outcome }) => outcome === "failure");
  printFigure(
    "30 blocked caller, connecting",
    `ejections: ${recorder.ejections} (pass: 0)`,
    `${failed} of ${calls.length} failed (pass: 0)`,
    `connections made before and after: ${connectsBefore} and ${connects}`,
    `attempts held against nodes: ${failedAttempts.length} (pass: 0)`,
  );
  expect(connectsBefore).toBe(0);
  expect(connects).toBeGreaterThan(0);
  expect(recorder.ejections).toBe(0);
  expect(failedAttempts).toHaveLength(0);
  expect(failed).toBe(0);
});
