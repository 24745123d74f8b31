/** Every policy against the one contract. */
import { describe, test } from "vitest";
import type { Policy } from "../core/contracts.ts";
import type { Random } from "../core/random.ts";
import { type PolicyContractOptions, policyContract } from "../testing/policy-contract.ts";
import { leastCost } from "./least-cost.ts";
import { leastRequest } from "./least-request.ts";
import { random as byChance } from "./random.ts";
import { roundRobin } from "./round-robin.ts";
import { weightedRoundRobin } from "./weighted-round-robin.ts";

interface Case {
  readonly name: string;
  readonly create: (random: Random) => Policy;
  readonly options?: PolicyContractOptions;
}

const cases: readonly Case[] = [
  { name: "leastCost", create: (random) => leastCost({ random }) },
  { name: "leastRequest", create: (random) => leastRequest({ random }) },
  { name: "leastRequest of 5", create: (random) => leastRequest({ choices: 5, random }) },
  { name: "roundRobin", create: (random) => roundRobin({ random }), options: { weighted: false } },
  { name: "weightedRoundRobin", create: (random) => weightedRoundRobin({ random }) },
  { name: "random", create: (random) => byChance({ random }) },
];

describe.each(cases)("$name", ({ create, options }) => {
  for (const { name, run } of policyContract(create, options)) test(name, run);
});
