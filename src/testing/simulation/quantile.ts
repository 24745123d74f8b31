/** Percentiles of many values. */

/** The value below which the given share of the values lies, from 0 to 1; NaN of none. */
export function quantileOfSorted(sorted: Float64Array, share: number): number {
  if (sorted.length === 0) return Number.NaN;
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number;
}
