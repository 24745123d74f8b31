/** Runs a scenario with a policy for several seeds and puts the results together. */
import type { Policy } from "../../src/core/contracts.ts";
import type { Random } from "../../src/core/random.ts";
import { leastCost } from "../../src/policy/least-cost.ts";
import { leastRequest } from "../../src/policy/least-request.ts";
import { peakEwma } from "../../src/policy/peak-ewma.ts";
import { random } from "../../src/policy/random.ts";
import { roundRobin } from "../../src/policy/round-robin.ts";
import { weightedRoundRobin } from "../../src/policy/weighted-round-robin.ts";
import { quantileOfSorted } from "../../src/testing/simulation/quantile.ts";
import type { SimulationOptions } from "../../src/testing/simulation/simulation.ts";
import type { Scenario } from "./scenarios.ts";

export interface Contender {
  readonly name: string;
  readonly createPolicy: (random: Random) => Policy;
  readonly overrides: Partial<SimulationOptions>;
}

function contender(createPolicy: (options: { readonly random: Random }) => Policy): Contender {
  const create = (chance: Random): Policy => createPolicy({ random: chance });
  return { name: create(Math.random).name, createPolicy: create, overrides: {} };
}

export const contenders: readonly Contender[] = [
  random,
  roundRobin,
  weightedRoundRobin,
  leastRequest,
  peakEwma,
  leastCost,
].map(contender);

/** The library as it comes: three attempts, within the budget, and ejection. */
export const asItComes: Contender = {
  ...contender(leastCost),
  name: "leastCost, with retries and ejection",
  overrides: { retry: {}, ejection: true },
};

export interface Figures {
  readonly calls: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  /** The least and the most of the seeds' own 99th percentiles. */
  readonly p99Range: readonly [number, number];
  /** From 0 to 1. */
  readonly failed: number;
  /** The special servers' part of the attempts, from 0 to 1. */
  readonly share: number;
  /** The same in each of `stretches`. */
  readonly shareOverTime: readonly number[];
  readonly mostInflight: number;
}

/** Seconds of the measured time, for what a share becomes after a pause within the first. */
export const stretches: readonly (readonly [number, number])[] = [
  [1, 5],
  [5, 10],
  [10, 15],
  [15, 20],
];

export function measurePolicy(scenario: Scenario, { createPolicy, overrides }: Contender): Figures {
  const latencies: Float64Array[] = [];
  const shares: number[] = [];
  const sharesOverTime = stretches.map((): number[] => []);
  let calls = 0;
  let failed = 0;
  let mostInflight = 0;
  for (let seed = 1; seed <= scenario.seeds; seed++) {
    const result = scenario.create(seed, createPolicy, overrides).run();
    const share = (from?: number, until?: number): number =>
      scenario.special.reduce((sum, server) => sum + result.share(server, from, until), 0);
    calls += result.calls;
    failed += result.failed;
    mostInflight = Math.max(mostInflight, result.mostInflight);
    latencies.push(result.latencies);
    shares.push(share());
    for (const [index, [from, until]] of stretches.entries()) sharesOverTime[index]?.push(share(from, until));
  }
  const all = Float64Array.from(latencies.flatMap((some) => Array.from(some))).sort();
  const tails = latencies.map((some) => quantileOfSorted(some, 0.99));
  return {
    calls,
    p50: quantileOfSorted(all, 0.5),
    p90: quantileOfSorted(all, 0.9),
    p99: quantileOfSorted(all, 0.99),
    p999: quantileOfSorted(all, 0.999),
    p99Range: [Math.min(...tails), Math.max(...tails)],
    failed: failed / calls,
    share: meanOf(shares),
    shareOverTime: sharesOverTime.map(meanOf),
    mostInflight,
  };
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
