/** The contract finds what is wrong: each broken policy fails the check meant for it, a sound one none. */
import { AssertionError } from "node:assert/strict";
import { describe, expect, test } from "vitest";
import type { CallInfo, Picker, Policy } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import type { Random } from "../core/random.ts";
import { createNodes, policyContract } from "./policy-contract.ts";

type Pick = (nodes: readonly Node[], call: CallInfo, random: Random) => Node | undefined;

function createPolicy(pick: Pick): (random: Random) => Policy {
  return (random) => ({
    name: "ours",
    build: (nodes): Picker => ({ pick: (call) => pick(nodes, call, random) }),
  });
}

function byWeight(nodes: readonly Node[], random: Random): Node | undefined {
  const total = nodes.reduce((sum, node) => sum + node.weight, 0);
  let rest = random() * total;
  return nodes.find((node) => {
    rest -= node.weight;
    return rest < 0;
  });
}

function uniform(nodes: readonly Node[], random: Random): Node | undefined {
  return nodes[Math.floor(random() * nodes.length)];
}

function untried(nodes: readonly Node[], call: CallInfo): readonly Node[] {
  return nodes.filter((node) => !call.tried.includes(node));
}

test.each(policyContract(createPolicy((nodes, call, random) => byWeight(untried(nodes, call), random))))(
  "a sound policy passes: $name",
  ({ run }) => run(),
);

const [stranger] = createNodes([1], "10.9.9");

describe("a broken policy fails", () => {
  test.each<{ what: string; pick: Pick; check: string }>([
    {
      what: "picks what was tried",
      pick: (nodes, _call, random) => byWeight(nodes, random),
      check: "2 nodes: never picks a tried node, and finds the last one untried",
    },
    {
      what: "gives up when its first choice was tried",
      pick: (nodes, call, random) => {
        const node = byWeight(nodes, random);
        return node === undefined || call.tried.includes(node) ? undefined : node;
      },
      check: "64 nodes: never picks a tried node, and finds the last one untried",
    },
    {
      what: "picks a node that is not in the set",
      pick: (nodes, call, random) => (random() < 0.1 ? stranger : byWeight(untried(nodes, call), random)),
      check: "63 nodes: picks only nodes of the set and leaves the array as it was",
    },
    {
      what: "sorts the array",
      pick: (nodes, call, random) => {
        (nodes as Node[]).sort(() => 1 - 2 * random());
        return byWeight(untried(nodes, call), random);
      },
      check: "63 nodes: picks only nodes of the set and leaves the array as it was",
    },
    {
      what: "looks at the first 64 nodes only",
      pick: (nodes, call, random) => byWeight(untried(nodes, call).slice(0, 64), random),
      check: "65 nodes: reaches every node",
    },
    {
      what: "refuses nodes that have not answered yet",
      pick: (nodes, call, random) =>
        byWeight(
          untried(nodes, call).filter((node) => !node.fresh),
          random,
        ),
      check: "finds an untried node whatever state the nodes are in",
    },
    {
      what: "draws from a chance of its own",
      pick: (nodes, call) => byWeight(untried(nodes, call), Math.random),
      check: "picks the same for the same seed",
    },
    {
      what: "favours the first node by a tenth",
      pick: (nodes, call, random) => {
        const left = untried(nodes, call);
        return random() < 0.1 ? left[0] : byWeight(left, random);
      },
      check: "spreads the first calls of many clients evenly",
    },
    {
      what: "ignores weights",
      pick: (nodes, call, random) => uniform(untried(nodes, call), random),
      check: "gives a node of weight 2 among 6 a third, with calls one at a time",
    },
    {
      what: "takes the least busy by weight, and so the heaviest when all are idle",
      pick: (nodes, call) =>
        [...untried(nodes, call)].sort(
          (l, r) => (l.inflight + 1) / l.weight - (r.inflight + 1) / r.weight,
        )[0],
      check: "gives a node of weight 2 among 6 a third, with calls one at a time",
    },
  ])("$what", ({ pick, check }) => {
    const run = policyContract(createPolicy(pick)).find(({ name }) => name === check)?.run;
    expect(run).toThrow(AssertionError);
  });
});
