/** Draws by weight: in proportion, none twice, and what is tried is left out. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Node } from "../core/node.ts";
import { createSeededRandom } from "../core/random.ts";
import { assertSpread, createNodes, equalWeights } from "../testing/policy-contract.ts";
import { WeightedDraw } from "./weighted-draw.ts";

function countFirst(draw: WeightedDraw, size: number, draws: number, tried: readonly Node[] = []): number[] {
  const counts = new Array<number>(size).fill(0);
  for (let round = 0; round < draws; round++) {
    draw.begin();
    let index = draw.next(tried);
    if (index < 0) index = draw.nextByScan(tried);
    counts[index] = (counts[index] as number) + 1;
  }
  return counts;
}

describe("a draw", () => {
  test("is in proportion to weight", () => {
    for (const weights of [equalWeights(7), [1, 2, 3, 4], [0.5, 0.25, 8], [1, 1, 1, 1, 96]]) {
      const draw = new WeightedDraw(createNodes(weights), createSeededRandom(1));
      assertSpread(countFirst(draw, weights.length, 20_000), weights, `weights ${weights}`);
    }
  });

  test("is in proportion to the weights of the moment while nodes warm up", () => {
    const nodes = createNodes([4, 2, 2]) as [Node, Node, Node];
    const draw = new WeightedDraw(nodes, createSeededRandom(2));
    nodes[0].weight = 0.4;
    nodes[1].weight = 1;
    assertSpread(countFirst(draw, 3, 20_000), [0.4, 1, 2], "warming");
    assertSpread(countFirst(draw, 3, 20_000, [nodes[2]]).slice(0, 2), [0.4, 1], "one tried");
  });

  test("is in proportion to weight by scan as well", () => {
    const weights = [3, 1, 2];
    const draw = new WeightedDraw(createNodes(weights), createSeededRandom(3));
    const counts = [0, 0, 0];
    for (let round = 0; round < 6_000; round++) {
      draw.begin();
      const index = draw.nextByScan([]);
      counts[index] = (counts[index] as number) + 1;
    }
    assertSpread(counts, weights, "by scan");
  });
});

test("any weights: each node once, in any mix of draws and scans, then none", () => {
  const weights = fc.array(fc.double({ min: 1e-9, max: 4_294_967_295, noNaN: true }), {
    minLength: 1,
    maxLength: 40,
  });
  fc.assert(
    fc.property(weights, fc.integer(), (list, seed) => {
      const random = createSeededRandom(seed);
      const nodes = createNodes(list);
      const tried = nodes.filter(() => random() < 0.2);
      const draw = new WeightedDraw(nodes, random);
      for (let round = 0; round < 3; round++) {
        draw.begin();
        const seen = new Set<Node>(tried);
        while (seen.size < nodes.length) {
          let index = draw.next(tried);
          if (index < 0) index = draw.nextByScan(tried);
          const node = nodes[index] as Node;
          expect(node).toBeDefined();
          expect(seen.has(node)).toBe(false);
          seen.add(node);
        }
        expect(draw.next(tried)).toBe(-1);
        expect(draw.nextByScan(tried)).toBe(-1);
      }
    }),
    { seed: 1 },
  );
});
