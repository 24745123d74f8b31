/**
 * Slow start: a node that joins while others serve gets a growing part of its weight, since its caches and its
 * compiler are cold.
 *
 * Source: Envoy's slow start, linear (aggression 1), with its floor of a tenth.
 */
const leastShare = 0.1;

/** The part of its weight that a node of this age carries, from 0.1 to 1. */
export function warmUpShare(ageMs: number, warmUpMs: number): number {
  if (ageMs >= warmUpMs) return 1;
  return Math.max(leastShare, ageMs / warmUpMs);
}
