/** What the programs that measure a source's cost print. */

export interface CostReport {
  readonly changes: number;
  /** By how much the heap grew over the changes. */
  readonly heapKib: number;
  /** How many services were watched while nothing happened, for how long, and what the whole process used meanwhile. */
  readonly idleServices: number;
  readonly idleMs: number;
  readonly idleCpuMs: number;
}
