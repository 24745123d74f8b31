/**
 * The troubles that policies are put to.
 *
 * Unless a scenario says otherwise: 20 clients, 20 servers of 4 cores, a load of 0.7 of what the servers can do, no
 * retries and no ejection, since both would hide what a policy picks. The work of a call is that of Prequal's testbed:
 * a normal distribution of mean and deviation 20 ms, cut off at 0, which leaves a mean of 25.8 ms. Of the settings that
 * were tried (exponential, normal, normal scaled back to 20 ms; 2, 3, 4, 5 and 8 cores) this is what comes nearest to
 * the plain column of algorithms.md, which does not say what its own were.
 */
import type { Policy } from "../../src/core/contracts.ts";
import { createSeededRandom, type Random } from "../../src/core/random.ts";
import {
  createServers,
  drawExponential,
  poisson,
  truncatedNormal,
} from "../../src/testing/simulation/chance.ts";
import type { ServerModel } from "../../src/testing/simulation/server.ts";
import { Simulation, type SimulationOptions } from "../../src/testing/simulation/simulation.ts";

export interface Scenario {
  readonly id: string;
  readonly title: string;
  /** What happens, in a sentence or two. */
  readonly what: string;
  /** The servers whose part of the attempts is shown, and what they are. */
  readonly special: readonly number[];
  readonly specialName: string;
  /** How many seeds, the results of which are put together. */
  readonly seeds: number;
  /** Whether a row shows the library as it comes, with ejection and retries. */
  readonly withDefaults?: boolean;
  /** @param overrides what a contender wants otherwise: retries, ejection. */
  create(seed: number, policy: (random: Random) => Policy, overrides: Partial<SimulationOptions>): Simulation;
}

/** Mean of the normal distribution of mean and deviation 20 above 0: 20 * (1 + pdf(1) / cdf(1)). */
const workMs = 25.752;
const cores = 4;
const fromMs = 5_000;
const endMs = 30_000;
/** What goes wrong does so for 23 of 25 measured seconds: 4.6% of all calls at random go to one node of 20. */
const troubleMs = 7_000;
const plenty = 20;

/** Calls per second that keep so many cores busy for this part of the time. */
function rateOf(load: number, allCores: number, meanMs = workMs): number {
  return (load * allCores * 1_000) / meanMs;
}

interface Shape extends Partial<Omit<SimulationOptions, "seed" | "createPolicy">> {
  readonly play?: (simulation: Simulation, random: Random) => void;
}

function creator(shape: Shape = {}): Scenario["create"] {
  const { play, ...given } = shape;
  return (seed, createPolicy, overrides) => {
    const simulation = new Simulation({
      clients: plenty,
      servers: createServers(plenty, { cores }),
      arrivals: poisson(rateOf(0.7, plenty * cores)),
      demand: truncatedNormal(workMs),
      measureFromMs: fromMs,
      endMs,
      ...given,
      ...overrides,
      seed,
      createPolicy,
    });
    play?.(simulation, createSeededRandom(seed + 1_000));
    return simulation;
  };
}

function pause(simulation: Simulation, index: number, at: number, ms: number): void {
  simulation.at(at, () => simulation.server(index).setSpeed(0));
  simulation.at(at + ms, () => simulation.server(index).setSpeed(1));
}

/** A server changed, the others as they are. */
function withOne(servers: readonly ServerModel[], change: Partial<ServerModel>): readonly ServerModel[] {
  return servers.map((server, index) => (index === 0 ? { ...server, ...change } : server));
}

const few = { clients: 1, measureFromMs: 10_000, endMs: 610_000 } as const;

export const scenarios: readonly Scenario[] = [
  {
    id: "plain-70",
    title: "plain, load 0.7",
    what: "Nothing is wrong.",
    special: [0],
    specialName: "any one node",
    seeds: 3,
    create: creator(),
  },
  {
    id: "plain-90",
    title: "plain, load 0.9",
    what: "Nothing is wrong, and there is little to spare.",
    special: [0],
    specialName: "any one node",
    seeds: 3,
    create: creator({ arrivals: poisson(rateOf(0.9, plenty * cores)) }),
  },
  {
    id: "slow",
    title: "20% of nodes 3x slower",
    what: "Four of the nodes work at a third of the speed all the time; 0.7 is of what is left.",
    special: [0, 1, 2, 3],
    specialName: "the four slow nodes",
    seeds: 3,
    create: creator({
      servers: createServers(plenty, { cores }).map((server, index) =>
        index < 4 ? { ...server, speed: 1 / 3 } : server,
      ),
      arrivals: poisson(rateOf(0.7, (16 + 4 / 3) * cores)),
    }),
  },
  {
    id: "hang",
    title: "one hangs",
    what: "One node stops working 2 s into the measured time and takes calls all the same.",
    special: [0],
    specialName: "the node that hangs",
    seeds: 3,
    withDefaults: true,
    create: creator({
      play: (simulation) => simulation.at(troubleMs, () => simulation.server(0).setSpeed(0)),
    }),
  },
  {
    id: "fails",
    title: "one fails fast",
    what: "One node answers 503 after 1 ms, without work, from 2 s into the measured time. Such an answer counts as failed and is left out of the latencies.",
    special: [0],
    specialName: "the node that fails",
    seeds: 3,
    withDefaults: true,
    create: creator({
      play: (simulation) =>
        simulation.at(troubleMs, () => {
          simulation.server(0).failure = { share: 1, afterMs: 1 };
        }),
    }),
  },
  {
    id: "cold",
    title: "cold join",
    what: "A twentieth node joins 2 s into the measured time. For its first 10 s it works at a tenth of the speed. Warm-up is on, as by default.",
    special: [0],
    specialName: "the node that joins",
    seeds: 3,
    create: creator({
      absent: [0],
      play: (simulation) => {
        simulation.server(0).setSpeed(0.1);
        simulation.at(troubleMs, () => simulation.join(0));
        simulation.at(troubleMs + 10_000, () => simulation.server(0).setSpeed(1));
      },
    }),
  },
  {
    id: "gc",
    title: "GC pauses",
    what: "Each node stands still for 200 ms every 10 s on average, at times of its own.",
    special: [0],
    specialName: "any one node",
    seeds: 3,
    create: creator({
      play: (simulation, random) => {
        for (let index = 0; index < plenty; index++) {
          for (let at = drawExponential(9_800, random); at < endMs; ) {
            pause(simulation, index, at, 200);
            at += 200 + drawExponential(9_800, random);
          }
        }
      },
    }),
  },
  {
    id: "thousand",
    title: "1,000 clients x 100 nodes x 1/s",
    what: "Each client makes one call a second, with 280 ms of work on average, so that the load is 0.7. Calls may take 10 s. Measured after a minute, when each client has seen 60 calls.",
    special: [0],
    specialName: "any one node",
    seeds: 3,
    create: creator({
      clients: 1_000,
      servers: createServers(100, { cores }),
      arrivals: poisson(1_000),
      demand: truncatedNormal(280),
      attemptMs: 10_000,
      measureFromMs: 60_000,
      endMs: 120_000,
    }),
  },
  {
    id: "faster",
    title: "five nodes at 20 calls/s, one 20% faster",
    what: "One client with little in flight; 600 s.",
    special: [0],
    specialName: "the faster node; its part of the capacity is 23.1%",
    seeds: 3,
    create: creator({
      ...few,
      servers: withOne(createServers(5, { cores }), { speed: 1.2 }),
      arrivals: poisson(20),
    }),
  },
  {
    id: "weights",
    title: "weights 1 1 1 1 2",
    what: "One client, five nodes at 20 calls/s; one has twice the cores and twice the weight; 600 s.",
    special: [0],
    specialName: "the node of weight 2; fair is 33.3%",
    seeds: 3,
    create: creator({
      ...few,
      servers: withOne(createServers(5, { cores }), { cores: 2 * cores, weight: 2 }),
      arrivals: poisson(20),
    }),
  },
  {
    id: "pause-short",
    title: "one pause of 250 ms, calls of 2.6 ms",
    what: "One client, five nodes, 3,900 calls/s of a tenth of the work (load 0.5). One node stands still for 250 ms, a hundred times as long as a call, 0.5 s into the measured time.",
    special: [0],
    specialName: "the node that paused; fair is 20%",
    seeds: 3,
    create: creator({
      clients: 1,
      servers: createServers(5, { cores }),
      arrivals: poisson(rateOf(0.5, 5 * cores, workMs / 10)),
      demand: truncatedNormal(workMs / 10),
      endMs: 25_500,
      play: (simulation) => pause(simulation, 0, 5_500, 250),
    }),
  },
  {
    id: "pause-idle",
    title: "one pause of 250 ms, few calls of 2.6 ms",
    what: "The same with 390 calls/s of that work (load 0.05), so that there is about one call in flight.",
    special: [0],
    specialName: "the node that paused; fair is 20%",
    seeds: 10,
    create: creator({
      clients: 1,
      servers: createServers(5, { cores }),
      arrivals: poisson(rateOf(0.05, 5 * cores, workMs / 10)),
      demand: truncatedNormal(workMs / 10),
      endMs: 25_500,
      play: (simulation) => pause(simulation, 0, 5_500, 250),
    }),
  },
  {
    id: "pause-busy",
    title: "one pause of 250 ms, calls of 26 ms",
    what: "The same with 390 calls/s of 26 ms of work (load 0.5).",
    special: [0],
    specialName: "the node that paused; fair is 20%",
    seeds: 10,
    create: creator({
      clients: 1,
      servers: createServers(5, { cores }),
      arrivals: poisson(rateOf(0.5, 5 * cores)),
      endMs: 25_500,
      play: (simulation) => pause(simulation, 0, 5_500, 250),
    }),
  },
  {
    id: "pause-many",
    title: "one pause of 250 ms, many clients",
    what: "As the plain scenario at load 0.7. One node stands still for 250 ms, 0.5 s into the measured time.",
    special: [0],
    specialName: "the node that paused; fair is 5%",
    seeds: 3,
    create: creator({ endMs: 25_500, play: (simulation) => pause(simulation, 0, 5_500, 250) }),
  },
];
