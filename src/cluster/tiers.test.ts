/** Tests of how calls are split over priorities and zones before a policy picks. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkEndpoint } from "../core/endpoint.ts";
import { Fleet } from "../core/fleet.ts";
import { Node } from "../core/node.ts";
import { splitIntoTiers } from "./tiers.ts";

let host = 0;

function createNode(priority: number, zone?: string, weight = 1): Node {
  host++;
  const address = `http://10.0.${host >> 8}.${host & 255}:8080`;
  return new Node(checkEndpoint({ address, priority, zone, weight }), new Fleet(), 0, false);
}

function createNodes(count: number, priority: number, zone?: string): Node[] {
  return Array.from({ length: count }, () => createNode(priority, zone));
}

/** The shares by key, those without a part left out. */
function sharesOf(eligible: Node[], callable: Node[], zone?: string): Record<string, number> {
  const tiers = splitIntoTiers(eligible, callable, zone).filter((tier) => tier.share > 0);
  return Object.fromEntries(tiers.map((tier) => [tier.key, Number(tier.share.toFixed(6))]));
}

describe("splitIntoTiers by priority", () => {
  const first = createNodes(10, 0);
  const second = createNodes(10, 1);
  const all = [...first, ...second];

  it("is one tier where there is one priority and no zone", () => {
    expect(splitIntoTiers(first, first, undefined)).toEqual([{ key: "", nodes: first, share: 1 }]);
  });

  it("keeps everything in the first tier down to 1 / 1.4 of its capacity", () => {
    expect(sharesOf(all, all)).toEqual({ "0": 1 });
    expect(sharesOf(all, [...first.slice(2), ...second])).toEqual({ "0": 1 });
  });

  it("hands over what the first tier can no longer carry", () => {
    // Envoy's documentation: 50% healthy hosts carry 70%.
    expect(sharesOf(all, [...first.slice(5), ...second])).toEqual({ "0": 0.7, "1": 0.3 });
    expect(sharesOf(all, second)).toEqual({ "1": 1 });
  });

  it("scales up when all tiers together cannot carry everything", () => {
    // 20% of each: 0.28 and 0.28 of what is wanted, so half each.
    expect(sharesOf(all, [...first.slice(8), ...second.slice(8)])).toEqual({ "0": 0.5, "1": 0.5 });
  });

  it("lists tiers without a part after the others, for a call that has tried those", () => {
    expect(splitIntoTiers(all, all, undefined).map(({ key, share }) => [key, share])).toEqual([
      ["0", 1],
      ["1", 0],
    ]);
  });
});

describe("splitIntoTiers by zone", () => {
  const a = createNodes(4, 0, "a");
  const b = createNodes(4, 0, "b");

  it("stays in the own zone while that carries its callers", () => {
    expect(sharesOf([...a, ...b], [...a, ...b], "a")).toEqual({ "0/a": 1 });
    expect(sharesOf([...a, ...b], [...a, ...b.slice(2)], "a")).toEqual({ "0/a": 1 });
  });

  it("spills over what the own zone cannot carry", () => {
    // A third of the capacity for half of the callers: two thirds stay.
    const callable = [...a.slice(2), ...b];
    expect(sharesOf([...a, ...b], callable, "a")).toEqual({ "0/a": 0.666667, "0/b": 0.333333 });
  });

  it("goes everywhere when the own zone has no node, or is not known", () => {
    expect(splitIntoTiers(b, b, "a")).toEqual([{ key: "0/", nodes: b, share: 1 }]);
  });

  it("puts the rest where there is a surplus", () => {
    const c = createNodes(1, 0, "c");
    const own = createNodes(1, 0, "a");
    const callable = [...own, ...b, ...c];
    // Of 6: a has 1/6 for 1/3 of the callers, so half stays; only b has more than it needs.
    expect(sharesOf(callable, callable, "a")).toEqual({ "0/a": 0.5, "0/b": 0.5 });
  });
});

describe("splitIntoTiers", () => {
  const arbitraryNode = fc
    .record({
      priority: fc.integer({ min: 0, max: 3 }),
      zone: fc.constantFrom("a", "b", "c", undefined),
      weight: fc.integer({ min: 1, max: 10 }),
      isCallable: fc.boolean(),
    })
    .map(({ priority, zone, weight, isCallable }) => ({
      node: createNode(priority, zone, weight),
      isCallable,
    }));

  it("gives out every call, and lists each node that may be called once", () => {
    fc.assert(
      fc.property(
        fc.array(arbitraryNode, { minLength: 1, maxLength: 30 }),
        fc.constantFrom("a", "z", undefined),
        (drawn, zone) => {
          const eligible = drawn.map(({ node }) => node);
          const callable = drawn.filter(({ isCallable }) => isCallable).map(({ node }) => node);
          const tiers = splitIntoTiers(eligible, callable, zone);
          const listed = tiers.flatMap(({ nodes }) => nodes);
          expect(new Set(listed)).toEqual(new Set(callable));
          expect(listed).toHaveLength(callable.length);
          const sum = tiers.reduce((total, { share }) => total + share, 0);
          expect(sum).toBeCloseTo(callable.length === 0 ? 0 : 1, 6);
          expect(new Set(tiers.map(({ key }) => key)).size).toBe(tiers.length);
        },
      ),
      { seed: 1, numRuns: 300 },
    );
  });
});
