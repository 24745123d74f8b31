/** Peak EWMA: which of two nodes it takes, by latency, load, weight and failures. */
import { describe, expect, test } from "vitest";
import type { Policy } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import { failure, ignored, success } from "../core/outcome.ts";
import { createSeededRandom } from "../core/random.ts";
import { createCall, createNodes, equalWeights } from "../testing/policy-contract.ts";
import { peakEwma } from "./peak-ewma.ts";
import { isExplainable } from "./shares.ts";

function create(choices = 2): Policy {
  return peakEwma({ choices, random: createSeededRandom(1) });
}

/** Of 1,000 calls, how many each node gets. */
function counts(policy: Policy, nodes: readonly Node[]): number[] {
  const picker = policy.build(nodes);
  const counts = nodes.map(() => 0);
  for (let call = 0; call < 1_000; call++) {
    const index = nodes.indexOf(picker.pick(createCall()) as Node);
    counts[index] = (counts[index] as number) + 1;
  }
  return counts;
}

describe("of two nodes", () => {
  test("the faster one is taken, until it has as many calls more as it is faster", () => {
    const policy = create();
    const nodes = createNodes([1, 1]) as [Node, Node];
    const [fast, slow] = nodes;
    policy.observe?.(fast, 10, success, 0);
    policy.observe?.(slow, 35, success, 0);
    for (let inflight = 0; inflight < 3; inflight++) {
      expect(counts(policy, nodes)).toEqual([1_000, 0]);
      fast.begin();
    }
    expect(counts(policy, nodes)).toEqual([0, 1_000]);
  });

  test("a single slow answer is enough to leave a node, and time brings it back", () => {
    const policy = create();
    const nodes = createNodes([1, 1]) as [Node, Node];
    for (const node of nodes) policy.observe?.(node, 10, success, 0);
    policy.observe?.(nodes[0], 200, success, 1);
    expect(counts(policy, nodes)).toEqual([0, 1_000]);
    // Only the other one has answers: they carry the time.
    for (let now = 100; now <= 40_000; now += 100) policy.observe?.(nodes[1], 10, success, now);
    // After 40 s a peak of 200 ms is 200 * e^-4, less than 4 ms.
    expect(counts(policy, nodes)).toEqual([1_000, 0]);
  });

  test("one that fails fast is left", () => {
    const policy = create();
    const nodes = createNodes([1, 1]) as [Node, Node];
    policy.observe?.(nodes[0], 1, failure("status", "503"), 0);
    policy.observe?.(nodes[1], 400, success, 0);
    expect(counts(policy, nodes)).toEqual([0, 1_000]);
  });

  test("a call that was given up early says nothing, a late one does", () => {
    const policy = create();
    const nodes = createNodes([1, 1]) as [Node, Node];
    for (const node of nodes) policy.observe?.(node, 10, success, 0);
    policy.observe?.(nodes[0], 9, ignored("aborted", ""), 0);
    expect(Math.min(...counts(policy, nodes))).toBeGreaterThan(400);
    policy.observe?.(nodes[0], 900, ignored("aborted", ""), 0);
    expect(counts(policy, nodes)).toEqual([0, 1_000]);
  });

  test("a new one gets a single call until it has answered", () => {
    const policy = create();
    const nodes = createNodes([1, 1]) as [Node, Node];
    const [fresh, known] = nodes;
    fresh.fresh = true;
    policy.observe?.(known, 10, success, 0);
    fresh.latencyMs = 5;
    expect(counts(policy, nodes)).toEqual([1_000, 0]);
    fresh.begin();
    for (let inflight = 0; inflight < 50; inflight++) known.begin();
    expect(counts(policy, nodes)).toEqual([0, 1_000]);
    fresh.fresh = false;
    policy.observe?.(fresh, 10, success, 0);
    expect(counts(policy, nodes)).toEqual([1_000, 0]);
  });

  test("one that came back into service starts as an unknown one", () => {
    const policy = create();
    const nodes = createNodes([1, 1]) as [Node, Node];
    policy.observe?.(nodes[0], 5, failure("status", "503"), 0);
    policy.observe?.(nodes[1], 10, success, 0);
    nodes[0].restore(1_000);
    nodes[0].latencyMs = 9;
    expect(counts(policy, nodes)).toEqual([1_000, 0]);
    policy.observe?.(nodes[0], 12, success, 1_000);
    expect(counts(policy, nodes)).toEqual([0, 1_000]);
  });
});

test("averages outlive pickers, and those of many choices find the one fast node", () => {
  const policy = create(10);
  const nodes = createNodes(equalWeights(10));
  const before = policy.build(nodes.slice(1));
  for (const node of nodes) policy.observe?.(node, node === nodes[3] ? 5 : 50, success, 0);
  expect(before.pick(createCall())).toBe(nodes[3]);
  expect(counts(policy, nodes)[3]).toBe(1_000);
});

test.each([2, 3])("shares of %i choices are those of the picks", (choices) => {
  const policy = create(choices);
  const nodes = createNodes([1, 2, 1, 3, 1]);
  for (const [index, node] of nodes.entries()) policy.observe?.(node, 10 + 5 * (index % 3), success, 0);
  nodes[3]?.begin();
  const picker = policy.build(nodes);
  if (!isExplainable(picker)) throw new Error("peak EWMA explains itself");
  const shares = picker.shares(createCall());
  for (const [index, count] of counts(policy, nodes).entries()) {
    // 1,000 picks: five standard deviations of at most 0.016.
    expect(Math.abs(count / 1_000 - (shares.get(nodes[index] as Node) as number))).toBeLessThan(0.08);
  }
});

test("options out of range are refused", () => {
  expect(() => peakEwma({ choices: 1 })).toThrow(RangeError);
  expect(() => peakEwma({ decayMs: 0 })).toThrow(RangeError);
  expect(() => peakEwma({ decay: 1 } as never)).toThrow('did you mean "decayMs"?');
});
