/** The cost of a call on a node: its formula, and its factors. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Node } from "../core/node.ts";
import { createNodes } from "../testing/policy-contract.ts";
import { cost, costFactors } from "./cost.ts";

function nodeWith(weight: number, inflight: number, latencyMs: number, failureRate: number): Node {
  const [node] = createNodes([weight]) as [Node];
  for (let begun = 0; begun < inflight; begun++) node.begin();
  node.latencyMs = latencyMs;
  node.failureRate = failureRate;
  return node;
}

describe("cost", () => {
  test.each([
    { weight: 1, inflight: 0, latencyMs: 7, failureRate: 0, expected: 7 },
    { weight: 1, inflight: 3, latencyMs: 7, failureRate: 0, expected: 112 },
    { weight: 2, inflight: 3, latencyMs: 4, failureRate: 0, expected: 25 },
    { weight: 1, inflight: 0, latencyMs: 7, failureRate: 1, expected: 77 },
    { weight: 0.5, inflight: 1, latencyMs: 10, failureRate: 0.1, expected: 180 },
  ])(
    "of weight $weight, $inflight in flight, $latencyMs ms, failing $failureRate is $expected",
    ({ weight, inflight, latencyMs, failureRate, expected }) => {
      expect(cost(nodeWith(weight, inflight, latencyMs, failureRate))).toBeCloseTo(expected, 9);
    },
  );

  test("takes one of the two factors of the load from what the node reports, never below our own calls", () => {
    const node = nodeWith(2, 3, 4, 0);
    node.reported({ inflight: 9 }, 0);
    expect(costFactors(node)).toEqual({
      load: (9 / 2 + 1) * (3 / 2 + 1),
      latencyMs: 4,
      failures: 1,
      cost: 55,
      reportedInflight: 9,
    });
    expect(cost(node)).toBe(55);
    node.reported({ inflight: 1 }, 0);
    expect(cost(node)).toBe(25);
    // Of no use here.
    node.reported({ cpuUtilization: 0.9 }, 0);
    expect(costFactors(node)).toEqual({ load: 6.25, latencyMs: 4, failures: 1, cost: 25 });
  });

  test("is the product of its factors", () => {
    const weight = fc.double({ min: 0.01, max: 100, noNaN: true });
    const inflight = fc.nat(50);
    const latencyMs = fc.double({ min: 0, max: 1e5, noNaN: true });
    const failureRate = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(weight, inflight, latencyMs, failureRate, (...state) => {
        const node = nodeWith(...state);
        const factors = costFactors(node);
        expect(factors.cost).toBe(cost(node));
        expect(factors.load * factors.latencyMs * factors.failures).toBe(factors.cost);
      }),
      { seed: 1 },
    );
  });
});
