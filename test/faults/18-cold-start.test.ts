/** Fault 18: a node joins that is slow for its first 5 s, since its caches are empty. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { leastCost, leastRequest, list, weightedRoundRobin } from "../../src/index.ts";
import { startBackend } from "../../src/testing/backend.ts";
import { drive } from "../support/drive.ts";
import { count, ms, percent, printFigure } from "../support/figure.ts";
import { h2c, http1 } from "../support/protocols.ts";
import { startService } from "../support/service.ts";

const rate = 500;
const warmNodes = 4;
const fairShare = 1 / (warmNodes + 1);
const coldMs = 5_000;

const cases = [http1, h2c].flatMap((protocol) => [
  { protocol, policy: leastCost(), followed: false },
  { protocol, policy: leastRequest(), followed: false },
  // Blind to load: here the warm-up is all that keeps calls away. It is followed to its end: what leastCost() learnt
  // of a slow node, it forgets in its own time.
  { protocol, policy: weightedRoundRobin(), followed: true },
]);

test.for(cases)(
  "a cold node gets at most a quarter of its share in its first second under $policy.name over $protocol.name",
  async ({ protocol, policy, followed }) => {
    const nodes = list([]);
    await using service = await startService(
      `cold-${policy.name.toLowerCase()}`,
      warmNodes,
      { workMs: 5, workers: 100 },
      { policy },
      {
        protocol,
        discover: (addresses) => {
          nodes.set(addresses);
          return nodes;
        },
      },
    );
    const { recorder } = service;

    // With the default of 10 s for a warm-up, the share is to be fair some 11 s after it joined.
    const driving = drive({ ratePerSecond: rate, seconds: followed ? 12.5 : 2.2 }, () => service.call());
    await sleep(1_000);
    await using cold = await startBackend(
      { workMs: 5, workers: 100, coldMs, coldWorkMs: 100 },
      service.place,
    );
    nodes.add(cold.address);
    const joinedAt = performance.now();
    const result = await driving;

    const shareWithin = (fromMs: number, toMs: number): { toIt: number; all: number } => {
      const starts = recorder.starts.filter(({ at }) => at >= joinedAt + fromMs && at < joinedAt + toMs);
      return { toIt: starts.filter(({ address }) => address === cold.address).length, all: starts.length };
    };
    const early = shareWithin(0, 1_000);
    const late = shareWithin(10_200, 11_400);
    const [slowest = 0] = recorder
      .endsOn(cold.address)
      .map(({ latencyMs }) => latencyMs ?? 0)
      .sort((a, b) => b - a);
    printFigure(
      `18 cold start, ${policy.name}, ${protocol.name}`,
      `share in the first second ${percent(early.toIt, early.all)} (pass: ${percent(fairShare, 4)})`,
      ...(followed ? [`after 10.2 s ${percent(late.toIt, late.all)}, fair ${percent(fairShare, 1)}`] : []),
      `slowest answer of the cold node ${ms(slowest)}`,
      `${result.failed.length} of ${count(result.calls.length)} failed (pass: 0)`,
    );
    expect(result.achievedRate).toBeGreaterThan(0.95 * rate);
    expect(early.toIt, "calls that met the cold node").toBeGreaterThan(0);
    expect(slowest).toBeGreaterThanOrEqual(100);
    expect(early.toIt).toBeLessThanOrEqual(0.25 * fairShare * early.all);
    expect(result.failed, result.describeFailures()).toHaveLength(0);
    if (followed) expect(late.toIt).toBeGreaterThan(0.5 * fairShare * late.all);
  },
);
