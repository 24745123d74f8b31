/** Random: only weight counts, and each policy has chance of its own. */
import { expect, test } from "vitest";
import type { Node } from "../core/node.ts";
import { createSeededRandom } from "../core/random.ts";
import { createCall, createNodes } from "../testing/policy-contract.ts";
import { random } from "./random.ts";
import { isExplainable } from "./shares.ts";

test("load, latency and failures do not count", () => {
  const nodes = createNodes([1, 1]) as [Node, Node];
  nodes[0].begin();
  nodes[0].latencyMs = 1_000;
  nodes[0].failureRate = 1;
  const picker = random({ random: createSeededRandom(1) }).build(nodes);
  let picks = 0;
  for (let call = 0; call < 1_000; call++) if (picker.pick(createCall()) === nodes[0]) picks++;
  expect(Math.abs(picks - 500)).toBeLessThan(80);
});

test("shares are the untried nodes' parts of the weight", () => {
  const nodes = createNodes([1, 2, 5]) as [Node, Node, Node];
  const picker = random().build(nodes);
  if (!isExplainable(picker)) throw new Error("random explains itself");
  expect([...picker.shares(createCall()).values()]).toEqual([1 / 8, 2 / 8, 5 / 8]);
  expect([...picker.shares(createCall(0, [nodes[1]])).values()]).toEqual([1 / 6, 0, 5 / 6]);
  expect([...picker.shares(createCall(0, nodes)).values()]).toEqual([0, 0, 0]);
});

test("without a source of chance each policy has its own", () => {
  const nodes = createNodes(new Array<number>(1_000).fill(1));
  const [first, second] = [random(), random()].map((policy) => {
    const picker = policy.build(nodes);
    return Array.from({ length: 10 }, () => picker.pick(createCall()));
  });
  // Ten of a thousand alike: once in 10^30.
  expect(first).not.toEqual(second);
});
