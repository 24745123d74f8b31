/** What load reports give least cost: many clients with a few calls each, over servers that also have other work. */
import { expect, test } from "vitest";
import { createServers, exponential, poisson } from "../testing/simulation/chance.ts";
import { Job } from "../testing/simulation/server.ts";
import { Simulation, type SimulationResult } from "../testing/simulation/simulation.ts";
import { leastCost } from "./least-cost.ts";

const endMs = 30_000;

/** 0.8 of what 20 servers can carry; a while after the start the first server has jobs of others as well. */
function run(
  seed: number,
  clients: number,
  reportsLoad: boolean,
): SimulationResult & { readonly p99: number } {
  const simulation = new Simulation({
    seed,
    clients,
    servers: createServers(20, { cores: 1 }),
    createPolicy: (random) => leastCost({ random }),
    arrivals: poisson(800),
    demand: exponential(20),
    reportsLoad,
    measureFromMs: 5_000,
    endMs,
  });
  for (let job = 0; job < 3; job++) {
    simulation.at(5_000, () => simulation.server(0).admit(new Job(() => {}), endMs));
  }
  const result = simulation.run();
  return { ...result, p99: result.latencies[Math.floor(0.99 * result.latencies.length)] as number };
}

// The more clients there are, the less each sees by itself: what it lacks in the second is made good by the reports.
test.for([
  { seed: 1, clients: 20 },
  { seed: 2, clients: 20 },
  { seed: 1, clients: 200 },
  { seed: 2, clients: 200 },
])(
  "a server that others load gets less, and the slowest calls are faster: $clients clients, seed $seed",
  ({ seed, clients }) => {
    const blind = run(seed, clients, false);
    const told = run(seed, clients, true);
    expect(blind.calls).toBe(told.calls);
    // Measured: 0.65 to 0.79, and 0.69 to 0.76.
    expect(told.share(0)).toBeLessThan(0.85 * blind.share(0));
    expect(told.p99).toBeLessThan(0.85 * blind.p99);
  },
);
