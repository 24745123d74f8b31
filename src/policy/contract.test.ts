/** Every policy against the one contract. */
import { describe, test } from "vitest";
import type { Picker, Policy } from "../core/contracts.ts";
import type { Random } from "../core/random.ts";
import { type PolicyContractOptions, policyContract } from "../testing/policy-contract.ts";
import { leastCost } from "./least-cost.ts";
import { leastRequest } from "./least-request.ts";
import { maglev } from "./maglev.ts";
import { peakEwma } from "./peak-ewma.ts";
import { random as byChance } from "./random.ts";
import { ringHash } from "./ring-hash.ts";
import { roundRobin } from "./round-robin.ts";
import { withShadow } from "./shadow.ts";
import { subset } from "./subset.ts";
import { weightedRoundRobin } from "./weighted-round-robin.ts";

interface Case {
  readonly name: string;
  readonly create: (random: Random) => Policy;
  readonly options?: PolicyContractOptions;
}

const uneven: PolicyContractOptions = { even: false, weighted: false };

/** The same for calls without a key. */
function withoutKey(policy: Policy): Policy {
  return {
    name: policy.name,
    build(nodes, previous): Picker {
      const picker = policy.build(nodes, previous);
      return { pick: (call) => picker.pick({ ...call, hashKey: undefined }) };
    },
  };
}

const cases: readonly Case[] = [
  { name: "leastCost", create: (random) => leastCost({ random }) },
  { name: "leastRequest", create: (random) => leastRequest({ random }) },
  { name: "leastRequest of 5", create: (random) => leastRequest({ choices: 5, random }) },
  { name: "roundRobin", create: (random) => roundRobin({ random }), options: { weighted: false } },
  { name: "weightedRoundRobin", create: (random) => weightedRoundRobin({ random }) },
  { name: "random", create: (random) => byChance({ random }) },
  { name: "peakEwma", create: (random) => peakEwma({ random }) },
  { name: "peakEwma of 5", create: (random) => peakEwma({ choices: 5, random }) },
  // Thousands of clients build a table each: a small one will do.
  { name: "maglev", create: (random) => maglev({ tableSize: 5_003, random }) },
  {
    name: "maglev of the usual size without a bound",
    create: (random) => maglev({ random, boundFactor: false }),
    options: { even: false },
  },
  {
    name: "maglev without a key",
    create: (random) => withoutKey(maglev({ random })),
  },
  // Shares of 128 points a node are within 9% of what they should be, one standard deviation.
  { name: "ringHash", create: (random) => ringHash({ random }), options: uneven },
  {
    name: "ringHash of many points",
    create: (random) => ringHash({ minRingSize: 65_536, random }),
    options: { even: false },
  },
  { name: "subset", create: (random) => subset({ size: 1_000, policy: leastCost({ random }) }) },
  { name: "withShadow", create: (random) => withShadow(leastCost({ random }), roundRobin()) },
];

describe.each(cases)("$name", ({ create, options }) => {
  for (const { name, run } of policyContract(create, options)) test(name, run);
});
