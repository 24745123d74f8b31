/** What hedging is worth, and what it costs: a fleet where one call in a hundred takes a hundred times as long. */
import { describe, expect, it } from "vitest";
import type { HedgeOptions } from "../../cluster/limit-options.ts";
import { leastCost } from "../../policy/least-cost.ts";
import { createServers, poisson } from "./chance.ts";
import { quantileOfSorted as quantile } from "./quantile.ts";
import { Simulation, type SimulationResult } from "./simulation.ts";

const extraShare = 0.03;

/** 300,000 calls or so: 300 of them are above the 99.9th percentile, and three of those are slow twice. */
function run(seed: number, hedge?: HedgeOptions): SimulationResult {
  return new Simulation({
    seed,
    clients: 4,
    // At a load of a quarter: what is measured is the slow calls, and no queue.
    servers: createServers(10, { cores: 8 }),
    createPolicy: (random) => leastCost({ random }),
    arrivals: poisson(1_000),
    demand: (random) => (random() < 0.01 ? 100 : 1) * (8 + 4 * random()),
    attemptMs: 5_000,
    hedge,
    // Nothing fails: the second attempt is the hedge.
    retry: { attempts: 2 },
    measureFromMs: 20_000,
    endMs: 320_000,
  }).run();
}

describe("hedging on a fleet with 1% of calls 100x slower", () => {
  const plain = run(1);

  it.each([
    ["after a fixed time", { afterMs: 25 }],
    ["after a learned percentile", { percentile: 98 }],
  ] as const)("%s: p99.9 at least 5x lower for at most 3%% extra calls", (_name, hedge) => {
    const hedged = run(1, hedge);
    const plainMs = quantile(plain.latencies, 0.999);
    const hedgedMs = quantile(hedged.latencies, 0.999);
    expect(plain.attempts).toBe(plain.calls);
    expect([plain.failed, hedged.failed]).toEqual([0, 0]);
    expect(plainMs).toBeGreaterThan(800);
    expect(hedgedMs).toBeLessThanOrEqual(plainMs / 5);
    expect(hedged.attempts / hedged.calls - 1).toBeLessThanOrEqual(extraShare);
    // All slow calls are hedged, else the percentile above would be luck.
    expect(hedged.attempts / hedged.calls - 1).toBeGreaterThan(0.009);
  });
});
