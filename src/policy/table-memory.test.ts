/** Tests that memory is used again for the next table, and that what was in it does not matter. */
import { expect, test } from "vitest";
import { createNodes, equalWeights } from "../testing/policy-contract.ts";
import type { HashTable, TableMaker } from "./hash-table.ts";
import { ringMaker } from "./ring.ts";
import { TableMemory } from "./table-memory.ts";

test("an array that was given back serves the next of nearly its size", () => {
  const memory = new TableMemory();
  const first = memory.take(100_000);
  memory.give(first);
  const second = memory.take(100_100);
  expect(second.buffer).toBe(first.buffer);
  expect(second).toHaveLength(100_100);
  expect(memory.take(100_000).buffer).not.toBe(first.buffer);
});

test("much larger or smaller ones are made anew, and small ones always", () => {
  const memory = new TableMemory();
  const large = memory.take(1_000_000);
  memory.give(large);
  expect(memory.take(100_000).buffer).not.toBe(large.buffer);
  expect(memory.take(2_000_000).buffer).not.toBe(large.buffer);
  const small = memory.take(10);
  memory.give(small);
  expect(memory.take(10).buffer).not.toBe(small.buffer);
});

function build(maker: TableMaker, count: number): HashTable {
  const build = maker.start(createNodes(equalWeights(count)));
  for (let table = build.advance(100_000); ; table = build.advance(100_000))
    if (table !== undefined) return table;
}

test("a ring made in the memory of another is the ring that fresh memory gives", () => {
  const used = ringMaker(128, 1_000_000);
  used.recycle?.(build(used, 1_010));
  const again = build(used, 1_000);
  const fresh = build(ringMaker(128, 1_000_000), 1_000);
  expect(again.owners).toEqual(fresh.owners);
  for (const hash of [0, 1, 12_345_678, -1, -2_147_483_648])
    expect(again.locate(hash)).toBe(fresh.locate(hash));
});
