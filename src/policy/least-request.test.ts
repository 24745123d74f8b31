/** Least request: which of the nodes drawn takes the call, and the shares that it tells. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Node } from "../core/node.ts";
import { createSeededRandom } from "../core/random.ts";
import {
  assertShares,
  countConcurrent,
  createCall,
  createNodes,
  equalWeights,
} from "../testing/policy-contract.ts";
import { leastRequest } from "./least-request.ts";
import { type ExplainablePicker, isExplainable } from "./shares.ts";

function build(nodes: readonly Node[], choices = 2, seed = 1): ExplainablePicker {
  const picker = leastRequest({ choices, random: createSeededRandom(seed) }).build(nodes);
  if (!isExplainable(picker)) throw new Error("least request explains itself");
  return picker;
}

function begin(node: Node | undefined, calls: number): void {
  for (let begun = 0; begun < calls; begun++) node?.begin();
}

describe("a pick", () => {
  test("of two nodes never takes the busier one", () => {
    const nodes = createNodes(equalWeights(2));
    begin(nodes[0], 1);
    const picker = build(nodes);
    for (let call = 0; call < 200; call++) expect(picker.pick(createCall(call))).toBe(nodes[1]);
  });

  test("counts calls by weight", () => {
    const nodes = createNodes([4, 1]);
    begin(nodes[0], 3);
    begin(nodes[1], 1);
    const picker = build(nodes);
    for (let call = 0; call < 200; call++) expect(picker.pick(createCall(call))).toBe(nodes[0]);
  });

  test("with as many choices as nodes takes one that no other beats", () => {
    const states = fc.array(fc.record({ weight: fc.integer({ min: 1, max: 4 }), inflight: fc.nat(6) }), {
      minLength: 2,
      maxLength: 12,
    });
    fc.assert(
      fc.property(states, fc.integer(), (list, seed) => {
        const nodes = createNodes(list.map(({ weight }) => weight));
        for (const [index, node] of nodes.entries()) begin(node, list[index]?.inflight ?? 0);
        const picked = build(nodes, nodes.length, seed).pick(createCall()) as Node;
        for (const node of nodes) {
          const isLess = node.inflight / node.weight < picked.inflight / picked.weight;
          const staysLess = (node.inflight + 1) / node.weight < (picked.inflight + 1) / picked.weight;
          expect(isLess && staysLess).toBe(false);
        }
      }),
      { seed: 1 },
    );
  });

  test("keeps to very unequal weights with little in flight", () => {
    for (const weights of [
      [100, 1],
      [10, 1, 1],
    ]) {
      for (const concurrency of [1, 2, 6, 20]) {
        const nodes = createNodes(weights);
        const counts = countConcurrent(build(nodes), nodes, 20_000, concurrency);
        assertShares(counts, weights, 0.06, `weights ${weights}, ${concurrency} in flight`);
      }
    }
  });

  test("more choices even out the load", () => {
    const busiest = [2, 10].map((choices) => {
      const nodes = createNodes(equalWeights(100));
      const picker = build(nodes, choices);
      for (let call = 0; call < 1_000; call++) picker.pick(createCall(call))?.begin();
      return Math.max(...nodes.map((node) => node.inflight));
    });
    expect(busiest).toEqual([12, 11]);
  });
});

describe("shares", () => {
  test.each([2, 4])("are what picks come to with %i choices", (choices) => {
    const nodes = createNodes([3, 1, 1, 2, 1]);
    begin(nodes[0], 1);
    begin(nodes[3], 4);
    const picker = build(nodes, choices);
    const tried = nodes.slice(4);
    const shares = picker.shares(createCall(0, tried));
    expect([...shares.values()].reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 10);
    const counts = nodes.map(() => 0);
    for (let call = 0; call < 20_000; call++) {
      const index = nodes.indexOf(picker.pick(createCall(call, tried)) as Node);
      counts[index] = (counts[index] as number) + 1;
    }
    for (const [index, node] of nodes.entries()) {
      expect(Math.abs((counts[index] as number) / 20_000 - (shares.get(node) as number))).toBeLessThan(0.015);
    }
  });

  test("of one node left are 1, of none 0", () => {
    const nodes = createNodes([3, 1, 1]) as [Node, Node, Node];
    for (const choices of [2, 3]) {
      const picker = build(nodes, choices);
      expect([...picker.shares(createCall(0, nodes.slice(1))).values()]).toEqual([1, 0, 0]);
      expect([...picker.shares(createCall(0, nodes)).values()]).toEqual([0, 0, 0]);
    }
    const [alone] = nodes;
    expect(build([alone]).shares(createCall()).get(alone)).toBe(1);
  });
});

test.each([1, 0, -1, 2.5, Number.NaN, Number.POSITIVE_INFINITY])("choices %d is refused", (choices) => {
  expect(() => leastRequest({ choices })).toThrow(RangeError);
  expect(() => leastRequest({ choices })).toThrow(`choices must be an integer of at least 2, got ${choices}`);
});

test("options that do not exist are refused", () => {
  expect(() => leastRequest({ choice: 3 } as never)).toThrow(/leastRequest\.choice.*"choices"/);
});
