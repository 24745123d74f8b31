/** Round robin: the turns, where they start, and where they go on in another set. */
import { describe, expect, test } from "vitest";
import type { Picker } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import { createCall, createNodes, equalWeights } from "../testing/policy-contract.ts";
import { roundRobin } from "./round-robin.ts";
import { isExplainable } from "./shares.ts";

type FourNodes = readonly [Node, Node, Node, Node];
const nodes = createNodes([1, 9, 1, 1]) as unknown as FourNodes;
const [a, b, c, d] = nodes;

function take(picker: Picker, calls: number, tried: readonly Node[] = []): (Node | undefined)[] {
  return Array.from({ length: calls }, (_, call) => picker.pick(createCall(call, tried)));
}

describe("the turn", () => {
  test("starts by chance and goes round, whatever the weights", () => {
    expect(take(roundRobin({ random: () => 0 }).build(nodes), 6)).toEqual([a, b, c, d, a, b]);
    expect(take(roundRobin({ random: () => 0.99 }).build(nodes), 3)).toEqual([d, a, b]);
  });

  test("skips what was tried", () => {
    const picker = roundRobin({ random: () => 0 }).build(nodes);
    expect(take(picker, 3, [a, c])).toEqual([b, d, b]);
    expect(take(picker, 1, nodes)).toEqual([undefined]);
    expect(take(picker, 1)).toEqual([c]);
  });
});

describe("in a new set the turn goes on", () => {
  const policy = roundRobin({ random: () => 0 });

  test("at the next node that stayed, wherever it now stands", () => {
    const first = policy.build(nodes);
    take(first, 1);
    expect(take(policy.build([a, b, c, d], first), 1)).toEqual([b]);
    expect(take(policy.build([d, c, b, a], first), 2)).toEqual([b, a]);
    expect(take(policy.build([a, d], first), 2)).toEqual([d, a]);
    const more = createNodes(equalWeights(2), "10.0.1");
    expect(take(policy.build([...more, ...nodes], first), 1)).toEqual([b]);
  });

  test("anywhere, by chance, when no node stayed or another policy came before", () => {
    const others = createNodes(equalWeights(3), "10.0.1");
    const atLast = roundRobin({ random: () => 0.99 });
    expect(take(atLast.build(others, policy.build(nodes)), 1)).toEqual([others[2]]);
    expect(take(atLast.build(nodes, { pick: () => a }), 1)).toEqual([d]);
  });
});

test("shares give the node whose turn it is 1, and do not take the turn", () => {
  const picker = roundRobin({ random: () => 0 }).build(nodes);
  if (!isExplainable(picker)) throw new Error("round robin explains itself");
  take(picker, 1);
  expect([...picker.shares(createCall()).entries()]).toEqual([
    [a, 0],
    [b, 1],
    [c, 0],
    [d, 0],
  ]);
  expect(picker.shares(createCall(0, [b])).get(c)).toBe(1);
  expect([...picker.shares(createCall(0, nodes)).values()]).toEqual([0, 0, 0, 0]);
  expect(take(picker, 1)).toEqual([b]);
});
