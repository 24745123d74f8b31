/** Smooth weighted round robin: the sequence, its start, and a set that changes. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Picker } from "../core/contracts.ts";
import type { LoadReport } from "../core/load-report.ts";
import type { Node } from "../core/node.ts";
import { createSeededRandom } from "../core/random.ts";
import {
  assertShares,
  assertSpread,
  createCall,
  createNodes,
  equalWeights,
} from "../testing/policy-contract.ts";
import { isExplainable } from "./shares.ts";
import { weightedRoundRobin } from "./weighted-round-robin.ts";

/** The picks as letters: the first node is a. */
function letters(picker: Picker, nodes: readonly Node[], calls: number): string {
  return Array.from({ length: calls }, (_, call) => letter(nodes, picker.pick(createCall(call)))).join("");
}

function letter(nodes: readonly Node[], node: Node | undefined): string {
  return String.fromCharCode("a".charCodeAt(0) + nodes.indexOf(node as Node));
}

const fromStart = weightedRoundRobin({ random: () => 0 });

describe("the sequence", () => {
  test("of weights 5, 1, 1 is nginx's, again and again", () => {
    const nodes = createNodes([5, 1, 1]);
    expect(letters(fromStart.build(nodes), nodes, 21)).toBe("aabacaa".repeat(3));
  });

  test("is the same from wherever a client starts, and each start is as likely", () => {
    const nodes = createNodes([5, 1, 1]);
    const starts = new Map<string, number>();
    for (let seed = 0; seed < 7_000; seed++) {
      const picker = weightedRoundRobin({ random: createSeededRandom(seed) }).build(nodes);
      const start = letters(picker, nodes, 7);
      starts.set(start, (starts.get(start) ?? 0) + 1);
    }
    const rotations = Array.from({ length: 7 }, (_, by) => "aabacaa".slice(by) + "aabacaa".slice(0, by));
    expect([...starts.keys()].sort()).toEqual(rotations.sort());
    assertSpread([...starts.values()], equalWeights(7), "starts");
  });

  test("gives each node exactly its weight in any stretch as long as the sum of the weights", () => {
    const weights = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(weights, fc.integer(), (list, seed) => {
        const nodes = createNodes(list);
        const picker = weightedRoundRobin({ random: createSeededRandom(seed) }).build(nodes);
        const total = list.reduce((sum, weight) => sum + weight, 0);
        const picks = letters(picker, nodes, 2 * total);
        for (let start = 0; start <= total; start++) {
          const stretch = picks.slice(start, start + total);
          for (const [index, node] of nodes.entries()) {
            expect(stretch.split(letter(nodes, node)).length - 1).toBe(list[index]);
          }
        }
      }),
      { seed: 1 },
    );
  });

  test("follows a weight that grows", () => {
    const nodes = createNodes([1, 1]) as [Node, Node];
    nodes[0].weight = 0.1;
    const picker = fromStart.build(nodes);
    expect(letters(picker, nodes, 110).split("a").length - 1).toBe(10);
    nodes[0].weight = 1;
    expect(letters(picker, nodes, 100).split("a").length - 1).toBe(50);
  });

  test("gives no node all calls in a row when the weights become far smaller", () => {
    for (let picks = 0; picks < 9; picks++) {
      const nodes = createNodes([1_000, 1_000, 1_000]);
      const picker = fromStart.build(nodes);
      letters(picker, nodes, picks);
      for (const node of nodes) node.weight = 1;
      expect(letters(picker, nodes, 9)).toMatch(/^(abc|acb|bac|bca|cab|cba)+$/);
    }
  });

  test("starts anywhere in a set too large to go through it", () => {
    const nodes = createNodes(equalWeights(2_000));
    const firsts = new Set<Node | undefined>();
    for (let seed = 0; seed < 100; seed++) {
      const picker = weightedRoundRobin({ random: createSeededRandom(seed) }).build(nodes);
      firsts.add(picker.pick(createCall()));
    }
    expect(firsts.size).toBeGreaterThan(90);
  });

  test("leaves a tried node's turn for the next call", () => {
    const nodes = createNodes([1, 1, 1]) as [Node, Node, Node];
    const picker = fromStart.build(nodes);
    expect(picker.pick(createCall(0, [nodes[0]]))).toBe(nodes[1]);
    expect(letters(picker, nodes, 3)).toBe("cab");
  });
});

describe("over a change of the set", () => {
  test("each node keeps its place", () => {
    const nodes = createNodes([5, 1, 1]);
    let picker: Picker | undefined;
    let picks = "";
    for (let call = 0; call < 21; call++) {
      picker = fromStart.build([...nodes], picker);
      picks += letters(picker, nodes, 1);
    }
    expect(picks).toBe("aabacaa".repeat(3));
  });

  test("a node that comes and goes gets its part while it is there, and no more", () => {
    const nodes = createNodes([1, 1, 1, 1]);
    const three = nodes.slice(0, 3);
    let picker: Picker | undefined;
    const counts = [0, 0, 0, 0];
    for (let round = 0; round < 1_000; round++) {
      for (const present of [nodes, three]) {
        picker = fromStart.build(present, picker);
        for (let call = 0; call < 4; call++) {
          const index = nodes.indexOf(picker.pick(createCall()) as Node);
          counts[index] = (counts[index] as number) + 1;
        }
      }
    }
    // It is there half of the time: 1/8 of all, the others the rest.
    assertShares(counts, [7, 7, 7, 3], 0.03);
  });

  test("a node that leaves right after its turn and comes back waits at most a round", () => {
    const nodes = createNodes(equalWeights(10));
    const [comesAndGoes, ...others] = nodes as [Node, ...Node[]];
    let picker: Picker | undefined;
    for (let round = 0; round < 200; round++) {
      picker = fromStart.build(nodes, picker);
      let waited = 1;
      while (picker.pick(createCall()) !== comesAndGoes) waited++;
      expect(waited).toBeLessThanOrEqual(10);
      picker = fromStart.build(others, picker);
      picker.pick(createCall());
    }
  });
});

test("shares give the node whose turn it is 1, and do not take the turn", () => {
  const nodes = createNodes([5, 1, 1]) as [Node, Node, Node];
  const picker = fromStart.build(nodes);
  if (!isExplainable(picker)) throw new Error("weighted round robin explains itself");
  for (const expected of "aabacaa") {
    const next = [...picker.shares(createCall())].filter(([, share]) => share === 1);
    expect(next.map(([node]) => letter(nodes, node))).toEqual([expected]);
    expect(letters(picker, nodes, 1)).toBe(expected);
  }
  expect(picker.shares(createCall(0, [nodes[0]])).get(nodes[1])).toBe(1);
  expect([...picker.shares(createCall(0, nodes)).values()]).toEqual([0, 0, 0]);
});

describe("with load reports", () => {
  const byReports = weightedRoundRobin({ random: () => 0, reports: true });
  /** Nodes that have reported for longer than the blackout. */
  const reporting = (reports: readonly (LoadReport | undefined)[]): Node[] => {
    const nodes = createNodes(equalWeights(reports.length));
    for (const [index, node] of nodes.entries()) {
      for (const now of [1_000, 11_000]) {
        if (reports[index] !== undefined) node.reported(reports[index], now);
        node.refresh(now);
      }
    }
    return nodes;
  };

  test("weighs a node by its calls per second over its utilization, and others by the mean", () => {
    // 100 / 0.2 = 500; 100 / (0.4 + 0.1) = 200 and with the application's own word 100 / 1 = 100; the mean is 300.
    const nodes = reporting([
      { rps: 100, cpuUtilization: 0.2 },
      { rps: 100, cpuUtilization: 0.1, applicationUtilization: 0.9, eps: 10 },
      undefined,
      { cpuUtilization: 0.5 },
    ]);
    const picks = letters(byReports.build(nodes), nodes, 12);
    expect(["a", "b", "c", "d"].map((one) => picks.split(one).length - 1)).toEqual([5, 1, 3, 3]);
    expect(letters(fromStart.build(nodes), nodes, 4)).toBe("abcd");
  });

  test("keeps the configured weights while fewer than two nodes have one", () => {
    const nodes = reporting([{ rps: 100, cpuUtilization: 0.01 }, undefined]);
    expect(letters(byReports.build(nodes), nodes, 4)).toBe("abab");
  });

  test("believes no report for its first 10 s, nor after 3 minutes", () => {
    const nodes = createNodes([1, 1]);
    const report = (now: number): void => {
      nodes[0]?.reported({ rps: 100, cpuUtilization: 0.1 }, now);
      nodes[1]?.reported({ rps: 100, cpuUtilization: 0.3 }, now);
    };
    const picker = byReports.build(nodes);
    const picksAt = (now: number): string => {
      for (const node of nodes) node.refresh(now);
      return [...letters(picker, nodes, 8)].sort().join("");
    };
    report(1_000);
    expect(picksAt(1_000)).toBe("aaaabbbb");
    report(11_000);
    expect(picksAt(11_000)).toBe("aaaaaabb");
    expect(picksAt(190_000)).toBe("aaaaaabb");
    expect(picksAt(191_000)).toBe("aaaabbbb");
  });

  test("lets a node work up to its weight", () => {
    const nodes = reporting([
      { rps: 100, cpuUtilization: 0.1 },
      { rps: 100, cpuUtilization: 0.1 },
    ]);
    (nodes[0] as Node).weight = 0.25;
    expect([...letters(byReports.build(nodes), nodes, 5)].sort().join("")).toBe("abbbb");
  });

  test("says whose turn it is", () => {
    const nodes = reporting([
      { rps: 100, cpuUtilization: 0.4 },
      { rps: 100, cpuUtilization: 0.1 },
    ]);
    const picker = byReports.build(nodes);
    for (let call = 0; call < 10; call++) {
      const shares = isExplainable(picker) ? picker.shares(createCall(call)) : new Map();
      const next = nodes.find((node) => shares.get(node) === 1);
      expect(picker.pick(createCall(call))).toBe(next);
    }
  });
});
