/** Tables are made in slices: one build at a time, the newest set last, and none without need. */
import { describe, expect, test } from "vitest";
import type { Node } from "../core/node.ts";
import { createNodes, equalWeights } from "../testing/policy-contract.ts";
import type { TableMaker } from "./hash-table.ts";
import { ringMaker } from "./ring.ts";
import { TableKeeper } from "./table-keeper.ts";

/** A keeper whose slices run when told, over rings of 4,000 points a node: large from 20 nodes on. */
function create() {
  const queue: (() => void)[] = [];
  const delays: number[] = [];
  const started: (readonly Node[])[] = [];
  const { steps, start } = ringMaker(4_096, 8_388_608);
  const counted: TableMaker = {
    steps,
    start(nodes) {
      started.push(nodes);
      return start(nodes);
    },
  };
  const keeper = new TableKeeper(counted, (run, delayMs) => {
    queue.push(run);
    delays.push(delayMs);
  });
  /** Runs up to so many slices; how many there were to run. */
  const run = (most = 10_000): number => {
    let slices = 0;
    for (; slices < most && queue.length > 0; slices++) queue.shift()?.();
    return slices;
  };
  /** A changed set, and a pick of it. */
  const change = (nodes: readonly Node[]): readonly Node[] => {
    const known = keeper.want(nodes);
    if (keeper.hasNews) keeper.begin();
    return known;
  };
  return { keeper, change, queue, delays, started, run };
}

const large = createNodes(equalWeights(100));

describe("a large table", () => {
  test("is made in slices and is not there before", () => {
    const { keeper, queue, delays, run } = create();
    expect(keeper.want(large)).toBe(large);
    expect(keeper.hasNews).toBe(true);
    expect(run()).toBe(0);
    keeper.begin();
    expect(keeper.table).toBeUndefined();
    const slices = run();
    expect(slices).toBeGreaterThan(10);
    expect(keeper.table?.nodes).toBe(large);
    expect(queue.length).toBe(0);
    expect(new Set(delays)).toEqual(new Set([0]));
  });

  test("is made again with pauses, while the one before stays", () => {
    const { keeper, change, delays, run } = create();
    change(large);
    run();
    const before = keeper.table;
    delays.length = 0;
    const fewer = large.slice(1);
    change(fewer);
    run(3);
    expect(keeper.table).toBe(before);
    run();
    expect(keeper.table?.nodes).toBe(fewer);
    expect(Math.min(...delays)).toBeGreaterThan(0);
  });

  test("is not made again for the same nodes in a new array, but for another weight", () => {
    const { keeper, change, queue, started, run } = create();
    const nodes = createNodes(equalWeights(100));
    change(nodes);
    run();
    expect(change([...nodes])).toBe(nodes);
    expect(queue.length).toBe(0);
    (nodes[0] as Node).weight = 5;
    change([...nodes]);
    run();
    expect(started.length).toBe(2);
    expect(keeper.table?.weights[0]).toBe(5);
  });
});

describe("a set that changes while a table is made", () => {
  test("waits; the build ends; only the newest of those that waited is made", () => {
    const { keeper, change, queue, started, run } = create();
    change(large);
    run(2);
    const sets = Array.from({ length: 50 }, (_, index) => large.slice(index + 1));
    for (const set of sets) {
      change(set);
      expect(queue.length).toBe(1);
    }
    run();
    expect(started.map(({ length }) => length)).toEqual([100, 50]);
    expect(keeper.table?.nodes).toBe(sets[49]);
  });

  test("with each slice still gets a new table now and then", () => {
    const { keeper, change, queue, started, run } = create();
    const tables = new Set<unknown>();
    for (let round = 0; round < 500; round++) {
      change(large.slice(round % 40));
      expect(run(1)).toBe(1);
      expect(queue.length).toBeLessThanOrEqual(1);
      tables.add(keeper.table);
    }
    expect(started.length).toBeLessThan(50);
    expect(tables.size).toBeGreaterThan(1);
  });

  test("and back again needs no table", () => {
    const { keeper, change, started, run } = create();
    change(large);
    run();
    change(large.slice(1));
    run(2);
    expect(change([...large])).toBe(large);
    run();
    expect(keeper.table?.nodes).toBe(large);
    expect(started.length).toBe(2);
  });
});

describe("a small table", () => {
  test("is made by the first pick, and no slice is left to do", () => {
    const { keeper, queue, run } = create();
    const nodes = createNodes(equalWeights(5));
    keeper.want(nodes);
    keeper.begin();
    expect(keeper.table?.nodes).toBe(nodes);
    expect(keeper.hasNews).toBe(false);
    expect(run()).toBe(0);
    expect(queue.length).toBe(0);
  });

  test("comes before a large one that is still being made", () => {
    const { keeper, change, run } = create();
    change(large);
    run(2);
    const nodes = createNodes(equalWeights(5));
    keeper.want(nodes);
    keeper.begin();
    expect(keeper.table?.nodes).toBe(nodes);
    run();
    expect(keeper.table?.nodes).toBe(nodes);
  });
});
