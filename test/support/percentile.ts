/** Percentiles by the nearest rank: always a value that was really measured. */

/** The smallest of `values` that at least `share` (0.99 for the 99th percentile) of them do not exceed. */
export function percentile(values: readonly number[], share: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = Float64Array.from(values).sort();
  const rank = Math.ceil(share * sorted.length);
  return sorted[Math.min(sorted.length, Math.max(1, rank)) - 1] as number;
}
