/** How long a short function takes, and what it leaves on the heap: for the benches. */
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Times in nanoseconds for one operation. */
export interface Timing {
  readonly median: number;
  /** The quickest and the slowest round: what the machine's noise does to the number. */
  readonly fastest: number;
  readonly slowest: number;
}

export interface HeapUse {
  /** Bytes per operation that are still held after a collection. */
  readonly kept: number;
  /** Bytes per operation that were allocated, whether or not they are garbage by now. */
  readonly allocated: number;
}

const rounds = 9;
const roundMs = 40;
const warmUpMs = 150;

/**
 * Times `repeat(n)`, which does the operation n times. The median of several rounds leaves out the rounds in
 * which the machine did something else.
 */
export function timeOperation(repeat: (times: number) => void): Timing {
  let times = 1_000;
  const warmEnd = performance.now() + warmUpMs;
  while (performance.now() < warmEnd) {
    const start = performance.now();
    repeat(times);
    const elapsedMs = Math.max(0.01, performance.now() - start);
    times = Math.max(100, Math.ceil((times * roundMs) / elapsedMs));
  }
  const results: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    repeat(times);
    results.push(((performance.now() - start) * 1e6) / times);
  }
  results.sort((left, right) => left - right);
  return {
    median: results[Math.floor(rounds / 2)] as number,
    fastest: results[0] as number,
    slowest: results[rounds - 1] as number,
  };
}

/** Measures the heap over `times` operations, after a warm-up of a tenth of that. */
export function measureHeap(repeat: (times: number) => void, times: number): HeapUse {
  const collect = globalThis.gc ?? exposeCollector();
  repeat(Math.ceil(times / 10));
  collect();
  const before = heapNow();
  repeat(times);
  const after = heapNow();
  collect();
  const collected = heapNow();
  return {
    kept: (collected.used - before.used) / times,
    allocated: (after.allocated - before.allocated) / times,
  };
}

/** What `node --expose-gc` gives, for a process that was started without it. */
export function exposeCollector(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc");
}

function heapNow(): { readonly used: number; readonly allocated: number } {
  // Node 26 counts all that was ever allocated; its type declarations may not know of it yet.
  const statistics: { readonly used_heap_size: number; readonly total_allocated_bytes?: number } =
    getHeapStatistics();
  return { used: statistics.used_heap_size, allocated: statistics.total_allocated_bytes ?? Number.NaN };
}
