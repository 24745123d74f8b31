/** Subsets: the same for the same client, spread over the nodes, and hardly changed when the set is. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Policy } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import { success } from "../core/outcome.ts";
import { createCall, createNodes, equalWeights } from "../testing/policy-contract.ts";
import { roundRobin } from "./round-robin.ts";
import { withShadow } from "./shadow.ts";
import { subset } from "./subset.ts";

/** The nodes that a client's inner policy is given. */
function chosen(nodes: readonly Node[], size: number, clientId?: string): readonly Node[] {
  let given: readonly Node[] = [];
  const policy: Policy = {
    name: "spy",
    build(list) {
      given = list;
      return { pick: () => list[0] };
    },
  };
  subset({ size, clientId, policy }).build(nodes);
  return given;
}

const hundred = createNodes(equalWeights(100));

test("of the same client is the same, whatever the order of the nodes", () => {
  const one = chosen(hundred, 20, "a");
  expect(one.length).toBe(20);
  expect(new Set(chosen(hundred.toReversed(), 20, "a"))).toEqual(new Set(one));
  expect(new Set(chosen(hundred, 20, "b"))).not.toEqual(new Set(one));
});

test("without a name is the same in all of a process's clusters", () => {
  expect(chosen(hundred, 20)).toEqual(chosen(hundred, 20));
});

test("is all of a set that is no larger", () => {
  expect(chosen(hundred, 100, "a")).toBe(hundred);
  expect(chosen(hundred, 1_000, "a")).toBe(hundred);
});

test("changes by at most one node for each that comes or goes", () => {
  const change = fc.tuple(fc.nat(59), fc.integer({ min: 1, max: 30 }), fc.string());
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(59), { minLength: 2 }), change, (present, [which, size, client]) => {
      const set = present.map((index) => hundred[index] as Node);
      const node = hundred[which] as Node;
      const other = set.includes(node) ? set.filter((one) => one !== node) : [...set, node];
      const before = new Set(chosen(set, size, client || "c"));
      const after = new Set(chosen(other, size, client || "c"));
      expect(before.difference(after).size).toBeLessThanOrEqual(1);
      expect(after.difference(before).size).toBeLessThanOrEqual(1);
      // And by none if the node was not in it, nor is.
      if (!before.has(node) && !after.has(node)) expect(after).toEqual(before);
    }),
    { seed: 1, numRuns: 300 },
  );
});

test("of a node that is out for a while is the same again afterwards", () => {
  const before = chosen(hundred, 20, "a");
  const without = chosen(
    hundred.filter((node) => node !== before[3]),
    20,
    "a",
  );
  expect(without).not.toContain(before[3]);
  expect(without.length).toBe(20);
  expect(chosen(hundred, 20, "a")).toEqual(before);
});

describe("over many clients", () => {
  test.each([
    // Five standard deviations of a binomial number of clients for each node, sqrt((1 - share) / mean).
    { clients: 1_000, size: 20 },
    { clients: 200, size: 10 },
    { clients: 2_000, size: 50 },
  ])("each node has about as many: $clients of $size", ({ clients, size }) => {
    const counts = new Map<Node, number>(hundred.map((node) => [node, 0]));
    for (let client = 0; client < clients; client++) {
      for (const node of chosen(hundred, size, `client-${client}`))
        counts.set(node, (counts.get(node) ?? 0) + 1);
    }
    const mean = (clients * size) / hundred.length;
    const deviation = Math.sqrt((1 - size / hundred.length) / mean);
    for (const count of counts.values()) expect(Math.abs(count / mean - 1)).toBeLessThan(5 * deviation);
  });
});

test("the inner policy goes on where it stood, and is told of attempts", () => {
  const told: Node[] = [];
  const inner: Policy = { ...roundRobin({ random: () => 0 }), observe: (node) => told.push(node) };
  const policy = subset({ size: 10, clientId: "a", policy: inner });
  const picker = policy.build(hundred);
  const first = picker.pick(createCall()) as Node;
  const second = policy.build(hundred, picker).pick(createCall());
  expect(second).not.toBe(first);
  policy.observe?.(first, 1, success, 0);
  expect(told).toEqual([first]);
  expect(policy.name).toBe("subset of roundRobin");
});

test("options that are missing or out of range are refused", () => {
  expect(() => subset({} as never)).toThrow("subset.size must be a number, got undefined");
  expect(() => subset({ size: 0 })).toThrow(RangeError);
  expect(() => subset({ size: 5, clientId: "" })).toThrow(TypeError);
  expect(() => subset({ size: 5, policy: {} as never })).toThrow("subset.policy must have a method build()");
});

test("says whom it would pick from, to transports that keep connections ready, a shadow or not", () => {
  const policy = subset({ size: 20, clientId: "a", policy: roundRobin() });
  expect(policy.candidates?.(hundred)).toEqual(chosen(hundred, 20, "a"));
  expect(withShadow(policy, roundRobin()).candidates?.(hundred)).toEqual(chosen(hundred, 20, "a"));
  expect(withShadow(roundRobin(), policy).candidates).toBeUndefined();
});
