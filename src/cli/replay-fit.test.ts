/** The fit of a trace, held against servers that are known: simulated ones, recorded and replayed. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { describe, expect, it } from "vitest";
import type { Policy } from "../core/contracts.ts";
import type { AttemptEndEvent } from "../core/events.ts";
import type { Random } from "../core/random.ts";
import { leastCost } from "../policy/least-cost.ts";
import { leastRequest } from "../policy/least-request.ts";
import { roundRobin } from "../policy/round-robin.ts";
import { createServers, poisson, truncatedNormal } from "../testing/simulation/chance.ts";
import { quantileOfSorted } from "../testing/simulation/quantile.ts";
import { Simulation, type SimulationResult } from "../testing/simulation/simulation.ts";
import type { TraceAttempt } from "./record-format.ts";
import { fitService } from "./replay-fit.ts";
import { simulate } from "./replay-simulation.ts";
import { beganAt } from "./replay-trace.ts";

type CreatePolicy = (random: Random) => Policy;

/** Five nodes of four cores; the first is three times slower, the second fails from 20 s to 30 s of 60 s. */
function known(createPolicy: CreatePolicy): Simulation {
  const simulation = new Simulation({
    seed: 1,
    clients: 1,
    servers: createServers(5, { cores: 4 }).map((server, index) => ({
      ...server,
      speed: index > 0 ? 1 : 1 / 3,
    })),
    createPolicy,
    arrivals: poisson(300),
    demand: truncatedNormal(20),
    measureFromMs: 0,
    endMs: 60_000,
  });
  simulation.at(20_000, () => {
    simulation.server(1).failure = { share: 1, afterMs: 2 };
  });
  simulation.at(30_000, () => {
    simulation.server(1).failure = undefined;
  });
  return simulation;
}

function recordOf(createPolicy: CreatePolicy): {
  attempts: readonly TraceAttempt[];
  result: SimulationResult;
} {
  const simulation = known(createPolicy);
  const attempts: TraceAttempt[] = [];
  const onEnd = (event: unknown): void => {
    const { service, address, attempt, outcome, reason, latencyMs, durationMs } = event as AttemptEndEvent;
    const line = attempts.length + 1;
    const what = { kind: "end", pid: 1, line, service, address, attempt } as const;
    attempts.push({ ...what, at: simulation.clock.now(), outcome, reason, latencyMs, durationMs });
  };
  subscribe("evenkeel:attempt:end", onEnd);
  const result = simulation.run();
  unsubscribe("evenkeel:attempt:end", onEnd);
  return { attempts: attempts.sort((left, right) => beganAt(left) - beganAt(right)), result };
}

describe("fitService", () => {
  const { attempts, result } = recordOf((random) => roundRobin({ random }));
  const fitted = fitService("simulated", attempts);

  it("takes each call's time as it was", () => {
    expect(fitted.arrivals).toHaveLength(result.calls);
    expect(fitted.arrivals[0]).toBe(0);
    expect(fitted.processes).toBe(1);
  });

  it("finds the cores of a node whose calls waited, and the work apart from the waiting", () => {
    const slow = fitted.nodes.find(({ address }) => address === "http://node-1");
    expect(slow?.cores).toBe(4);
    const meanMs = Array.from(slow?.work ?? []).reduce((sum, ms) => sum + ms, 0) / (slow?.work.length ?? 1);
    // 60 ms with a deviation of 38 ms, over 3,600 calls: 0.6 ms; within 5 of those.
    expect(meanMs).toBeGreaterThan(57);
    expect(meanMs).toBeLessThan(63);
    // The others were never short of them.
    for (const { address, cores } of fitted.nodes) {
      if (address !== "http://node-1") expect(cores).toBe(Number.POSITIVE_INFINITY);
    }
  });

  it("finds when a node failed", () => {
    const failing = fitted.nodes.find(({ address }) => address === "http://node-2");
    const bad = failing?.changes.filter(({ failure }) => failure !== undefined) ?? [];
    expect(bad[0]?.at).toBeGreaterThanOrEqual(19_000);
    expect(bad.at(-1)?.at).toBeLessThanOrEqual(30_000);
    expect(failing?.changes.at(-1)).toMatchObject({ hangs: false, failure: undefined });
  });

  it.each([
    ["roundRobin", (random) => roundRobin({ random }), 1.5],
    ["leastRequest", (random) => leastRequest({ random }), 1.05],
    ["leastCost", (random) => leastCost({ random }), 1.05],
  ] as readonly (readonly [string, CreatePolicy, number])[])(
    "estimates what %s would have given",
    (_policy, createPolicy, tailWithin) => {
      const real = known(createPolicy).run();
      const estimate = simulate(fitted, createPolicy, { seed: 1, recovery: false, attemptMs: 1_000 });
      const slow = fitted.nodes.findIndex(({ address }) => address === "http://node-1");
      const ratios = {
        p50: estimate.p50 / quantileOfSorted(real.latencies, 0.5),
        p99: estimate.p99 / quantileOfSorted(real.latencies, 0.99),
        failed: estimate.failed / (real.failed / real.calls),
        share: (estimate.shares[slow] ?? 0) / real.share(0),
      };
      // One seed, so always alike. Medians, failures and shares are close.
      for (const ratio of [ratios.p50, ratios.failed, ratios.share]) {
        expect(ratio).toBeGreaterThan(0.95);
        expect(ratio).toBeLessThan(1.05);
      }
      // Round robin holds the slow node at 90% of what it can do: there a tail of 60 s differs so much by chance alone.
      expect(ratios.p99).toBeGreaterThan(1 / tailWithin);
      expect(ratios.p99).toBeLessThan(tailWithin);
    },
  );
});
