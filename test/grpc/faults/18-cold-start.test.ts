/** Fault 18 over gRPC: a node joins that is slow for its first seconds, since its caches are empty. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { startGrpcBackend } from "../../../bench/faults/grpc-backend.ts";
import { list } from "../../../src/index.ts";
import { ms, percent, printFigure } from "../../support/figure.ts";
import { until } from "../../support/until.ts";
import { statisticsOf } from "../support/channelz.ts";
import { describePeers, failures, type System, startShop } from "../support/shop.ts";

/** For each of the three. */
const rate = 200;
const warmNodes = 4;
const coldMs = 100;

test("a cold node gets at most a quarter of its share in its first second", async () => {
  const discovery = list([]);
  await using shop = await startShop({ nodes: warmNodes, discovery });
  const { clients, recorder } = shop;
  await shop.drive({ ratePerSecond: rate / 2, seconds: 0.8 });
  const driving = shop.drive({ ratePerSecond: rate, seconds: 2.5 });
  const cold = await startGrpcBackend({ workMs: coldMs, workers: 100 });
  shop.backends.push(cold);
  const joinedAt = performance.now();
  const before = { plain: startedOf("plain"), hardened: startedOf("hardened") };
  discovery.add(cold.address);
  const startsOn = () => recorder.startsOn(`http://${cold.address}`);
  await until("a call on it", () => startsOn().length > 0, 5_000);
  await sleep(1_000);
  const after = { plain: startedOf("plain"), hardened: startedOf("hardened") };
  const starts = startsOn();
  const first = starts[0]?.at ?? Number.POSITIVE_INFINITY;
  const within = (at: number): boolean => at >= first && at < first + 1_000;
  const mine = starts.filter(({ at }) => within(at)).length;
  const all = recorder.starts.filter(({ at }) => within(at)).length;
  const results = await driving;
  const share = mine / all / (1 / (warmNodes + 1));
  const got = (system: "plain" | "hardened"): number => after[system].cold - before[system].cold;
  const describe = (system: "plain" | "hardened"): string =>
    `gave it ${percent(got(system), after[system].all - before[system].all)}, p95 ${ms(results[system].percentile(0.95))}`;
  printFigure(
    "18 cold start over gRPC",
    `first call ${ms(first - joinedAt)} after discovery named it (pass: 100 ms)`,
    `${percent(mine, all)} of the calls in its first second, ${Math.round(100 * share)}% of a fair share (pass: 25%)`,
    `p95 ${ms(results.ours.percentile(0.95))}, failed: ${results.ours.failed.length}`,
    describePeers({ plain: describe("plain"), hardened: describe("hardened") }),
    failures(results),
  );
  expect(mine, "calls that met the cold node").toBeGreaterThan(0);
  expect(got("plain"), "calls of round_robin that met it").toBeGreaterThan(2 * mine);
  // Looser than the mark: a busy machine may hold a single call up for longer.
  expect(first - joinedAt).toBeLessThanOrEqual(2_000);
  expect(share).toBeLessThanOrEqual(0.25);
  expect(results.ours.failed, results.ours.describeFailures()).toHaveLength(0);

  /** Calls begun so far, at the cold node and in all. */
  function startedOf(system: System): { readonly cold: number; readonly all: number } {
    const statistics = statisticsOf(clients[system]);
    const counts = Array.from(statistics.values(), ({ started }) => started);
    return {
      cold: statistics.get(cold.address)?.started ?? 0,
      all: counts.reduce((sum, started) => sum + started, 0),
    };
  }
});
