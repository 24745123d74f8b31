/** Fault 19: 100 clients start at the same moment with the same list of nodes. */
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  Balancer,
  leastCost,
  leastRequest,
  type Policy,
  peakEwma,
  random,
  roundRobin,
  weightedRoundRobin,
} from "../../src/index.ts";
import { type Backend, startBackends } from "../../src/testing/backend.ts";
import { createSeededRandom, type Random } from "../../src/testing/index.ts";
import { chiSquare, chiSquareProbability } from "../support/chi-square.ts";
import { printFigure } from "../support/figure.ts";

const clients = 100;
const nodes = 10;

type Create = (options: { readonly random?: Random }) => Policy;
const policies: readonly Create[] = [
  leastCost,
  leastRequest,
  peakEwma,
  random,
  roundRobin,
  weightedRoundRobin,
];

let backends: readonly Backend[];

beforeAll(async () => {
  backends = await startBackends(nodes, { workMs: 0 });
});
afterAll(async () => {
  await Promise.all(backends.map((backend) => backend.kill()));
});

/** How many of the clients' first calls each node gets. */
async function firstPicks(create: (client: number) => Policy): Promise<readonly number[]> {
  await using stack = new AsyncDisposableStack();
  const before = await arrived();
  const discovery = backends.map(({ address }) => address);
  const balancers = Array.from(
    { length: clients },
    (_, client) => new Balancer({ name: `client-${client}`, discovery, policy: create(client) }),
  );
  for (const balancer of balancers) stack.defer(() => balancer.destroy());
  await Promise.all(
    balancers.map(async (balancer) => (await balancer.request({ path: "/", method: "GET" })).body.text()),
  );
  return (await arrived()).map((requests, node) => requests - (before[node] ?? 0));
}

async function arrived(): Promise<readonly number[]> {
  return await Promise.all(backends.map(async (backend) => (await backend.stats()).requests));
}

test.for(policies.map((create) => ({ create, name: create({}).name })))(
  "the first calls of 100 clients in step are spread by $name",
  async ({ create, name }) => {
    // With seeds, so that the one run in a hundred in which chance alone is below the mark is none of these.
    const counts = await firstPicks((client) => create({ random: createSeededRandom(1 + client) }));
    const probability = chiSquareProbability(chiSquare(counts), nodes - 1);
    // As it is used. Chance alone gives less than 1e-9 once in 1e9 runs; clients in step give 0.
    const unseeded = await firstPicks(() => create({}));
    const probabilityUnseeded = chiSquareProbability(chiSquare(unseeded), nodes - 1);
    const inStep = chiSquareProbability(chiSquare([clients, ...Array(nodes - 1).fill(0)]), nodes - 1);
    printFigure(
      `19 clients in step, ${name}`,
      `first calls by node ${counts.join(" ")}, p ${probability.toFixed(3)} (pass: 0.01)`,
      `without seeds ${unseeded.join(" ")}, p ${probabilityUnseeded.toFixed(3)}`,
      `all in step would be p ${inStep.toExponential(0)}`,
    );
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(clients);
    expect(inStep).toBeLessThan(1e-9);
    // As in the tables: 21.666 is exceeded once in a hundred.
    expect(chiSquareProbability(21.666, nodes - 1)).toBeCloseTo(0.01, 5);
    expect(probability).toBeGreaterThan(0.01);
    expect(probabilityUnseeded).toBeGreaterThan(1e-9);
  },
);
