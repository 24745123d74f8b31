/** Least cost: who is as good as the cheapest, and how calls are spread among those. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Picker } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import { createSeededRandom } from "../core/random.ts";
import { assertSpread, createCall, createNodes, equalWeights } from "../testing/policy-contract.ts";
import { leastCost } from "./least-cost.ts";
import { type ExplainablePicker, isExplainable } from "./shares.ts";

function build(nodes: readonly Node[], seed = 1): ExplainablePicker {
  const picker = leastCost({ random: createSeededRandom(seed) }).build(nodes);
  if (!isExplainable(picker)) throw new Error("least cost explains itself");
  return picker;
}

/** How often each node is picked while nothing changes. */
function count(picker: Picker, nodes: readonly Node[], picks: number, tried: readonly Node[] = []): number[] {
  const counts = new Map<Node | undefined, number>();
  for (let pick = 0; pick < picks; pick++) {
    const node = picker.pick(createCall(pick, tried));
    counts.set(node, (counts.get(node) ?? 0) + 1);
  }
  return nodes.map((node) => counts.get(node) ?? 0);
}

describe("among nodes that are all compared", () => {
  test("a node within a quarter above the least cost is as good, one beyond it is not", () => {
    const nodes = createNodes(equalWeights(3)) as [Node, Node, Node];
    nodes[0].latencyMs = 100;
    nodes[1].latencyMs = 125;
    nodes[2].latencyMs = 125.1;
    const counts = count(build(nodes), nodes, 4_000);
    assertSpread(counts.slice(0, 2), [1, 1], "within the band");
    expect(counts[2]).toBe(0);
  });

  test("one that nothing is known of is tried beyond it too, as its weight says, until it fails", () => {
    const nodes = createNodes([1, 1, 0.1]) as [Node, Node, Node];
    nodes[0].latencyMs = 100;
    nodes[1].latencyMs = 100;
    nodes[2].latencyMs = 200;
    expect(count(build(nodes), nodes, 1_000)[2]).toBe(0);
    nodes[2].fresh = true;
    const picker = build(nodes);
    assertSpread(count(picker, nodes, 20_000), [1, 1, 0.1], "by weight");
    expect(picker.shares(createCall(0)).get(nodes[2])).toBeCloseTo(0.1 / 2.1, 5);
    nodes[2].failureRate = 0.2;
    expect(count(picker, nodes, 1_000)[2]).toBe(0);
  });

  test("calls in flight count squared: three times the latency is dearer than nothing, cheaper than a call", () => {
    const nodes = createNodes(equalWeights(2)) as [Node, Node];
    nodes[1].latencyMs = 3 * nodes[0].latencyMs;
    const picker = build(nodes);
    expect(picker.pick(createCall())).toBe(nodes[0]);
    nodes[0].begin();
    expect(picker.pick(createCall())).toBe(nodes[1]);
  });

  test("a node that fails is left, however fast it fails", () => {
    const nodes = createNodes(equalWeights(2)) as [Node, Node];
    nodes[0].latencyMs = 1;
    nodes[0].failureRate = 1;
    nodes[1].latencyMs = 8;
    expect(count(build(nodes), nodes, 100)).toEqual([0, 100]);
  });

  test("weight decides within the band", () => {
    const nodes = createNodes([5, 2, 1, 1]);
    for (const [index, node] of nodes.entries()) node.latencyMs = index === 3 ? 100 : 10 + index;
    assertSpread(count(build(nodes), nodes, 8_000).slice(0, 3), [5, 2, 1], "by weight");
  });

  test("with all else equal, calls in flight settle in proportion to weight", () => {
    const nodes = createNodes([4, 2, 1, 1]);
    const picker = build(nodes);
    for (let call = 0; call < 800; call++) picker.pick(createCall())?.begin();
    for (const node of nodes) expect(node.inflight / node.weight).toBeCloseTo(100, -1.3);
  });
});

describe("a node that has not answered yet", () => {
  test("gets one call, and no second one meanwhile", () => {
    const nodes = createNodes(equalWeights(3)) as [Node, Node, Node];
    nodes[0].fresh = true;
    nodes[0].latencyMs = 0.1;
    const picker = build(nodes);
    expect(picker.pick(createCall())).toBe(nodes[0]);
    nodes[0].begin();
    expect(count(picker, nodes, 100)[0]).toBe(0);
    nodes[0].answered(0.1, 0);
    expect(picker.pick(createCall())).toBe(nodes[0]);
  });

  test.each([3, 100])("is not refused when nothing else is left (%i nodes)", (size) => {
    const nodes = createNodes(equalWeights(size)) as [Node, ...Node[]];
    for (const node of nodes) {
      node.fresh = true;
      node.begin();
    }
    const [last, ...tried] = nodes;
    const picker = build(nodes);
    expect(picker.pick(createCall())).toBeDefined();
    expect(picker.pick(createCall(0, tried))).toBe(last);
    for (const node of tried) node.fresh = false;
    expect(picker.pick(createCall(0, tried))).toBe(last);
  });
});

describe("among more than 64 nodes", () => {
  test("a few cheap nodes are found far more often than by chance, dear ones hardly ever", () => {
    const nodes = createNodes(equalWeights(1_000));
    for (const [index, node] of nodes.entries()) node.latencyMs = index < 200 ? 30 : 10;
    const counts = count(build(nodes), nodes, 10_000);
    // A slow node wins only if all 16 drawn are slow: 0.2^16 of the picks.
    expect(counts.slice(0, 200).every((picks) => picks === 0)).toBe(true);
    assertSpread(counts.slice(200), equalWeights(800), "the quick ones");
  });

  test("a node that holds nearly all the weight does not keep load from counting", () => {
    const nodes = createNodes([1e9, ...equalWeights(999)]) as [Node, ...Node[]];
    const picker = build(nodes);
    expect(count(picker, nodes, 100)[0]).toBe(100);
    nodes[0].latencyMs = 1_000;
    expect(count(picker, nodes, 100)[0]).toBe(0);
  });
});

describe("shares", () => {
  const state = fc.record({
    weight: fc.integer({ min: 1, max: 10 }),
    inflight: fc.nat(2),
    latencyMs: fc.integer({ min: 10, max: 20 }),
    isFresh: fc.boolean(),
    isTried: fc.boolean(),
  });

  test("are what picks come to, up to 64 nodes", () => {
    fc.assert(
      fc.property(fc.array(state, { minLength: 1, maxLength: 64 }), fc.integer(), (states, seed) => {
        const nodes = createNodes(states.map(({ weight }) => weight));
        for (const [index, node] of nodes.entries()) {
          const { inflight = 0, latencyMs = 0, isFresh = false } = states[index] ?? {};
          for (let begun = 0; begun < inflight; begun++) node.begin();
          node.latencyMs = latencyMs;
          node.fresh = isFresh;
        }
        const tried = nodes.filter((_, index) => states[index]?.isTried);
        const picker = build(nodes, seed);
        const shares = nodes.map((node) => picker.shares(createCall(0, tried)).get(node) as number);
        const counts = count(picker, nodes, 500, tried);
        for (const [index, share] of shares.entries()) {
          // Five standard deviations: one case in a million strays further.
          const deviation = Math.sqrt(500 * share * (1 - share));
          expect(Math.abs((counts[index] as number) - 500 * share)).toBeLessThanOrEqual(
            5 * deviation + 0.001,
          );
        }
      }),
      { seed: 1 },
    );
  });

  test("are close to what picks come to above", () => {
    const random = createSeededRandom(2);
    const nodes = createNodes(Array.from({ length: 300 }, () => 1 + Math.floor(3 * random())));
    for (const node of nodes) node.latencyMs = 10 + 10 * random();
    const picker = build(nodes);
    const shares = picker.shares(createCall());
    const counts = count(picker, nodes, 50_000);
    const byCost = nodes.map((node, index) => ({ node, picks: counts[index] as number }));
    byCost.sort((left, right) => left.node.latencyMs - right.node.latencyMs);
    for (let start = 0; start < 300; start += 30) {
      const group = byCost.slice(start, start + 30);
      const predicted = group.reduce((sum, { node }) => sum + (shares.get(node) as number), 0);
      const actual = group.reduce((sum, { picks }) => sum + picks, 0) / 50_000;
      expect(Math.abs(actual - predicted)).toBeLessThan(0.02);
    }
  });

  test("are all 0 when all were tried", () => {
    for (const size of [3, 100]) {
      const nodes = createNodes(equalWeights(size));
      expect([...build(nodes).shares(createCall(0, nodes)).values()]).toEqual(new Array(size).fill(0));
    }
  });
});

test("options that do not exist are refused", () => {
  expect(() => leastCost({ rendom: Math.random } as never)).toThrow(/leastCost\.rendom.*"random"/);
  expect(() => leastCost({ random: 1 } as never)).toThrow(TypeError);
});
