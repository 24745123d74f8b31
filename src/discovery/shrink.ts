/**
 * Tells a removal that a registry may have meant from one that looks like an accident.
 *
 * A registry that loses a partition, a leader or its leases drops most instances in one update, while deploys
 * take them out a few at a time. What goes in such a bulk is kept as suspect until something confirms it.
 */

/** A removal of fewer is no bulk: in a set of 3 or 4, one or two are half and go in every deploy. */
const fewestInBulk = 3;

export interface Shrink {
  /** The keys to keep beside the next set, and when the grace of each ends. */
  readonly suspects: ReadonlyMap<string, number>;
  /** How many of `known` ordinary endpoints the next set removes in bulk: more than half, and at least 3; or 0. */
  readonly removed: number;
  readonly known: number;
}

/**
 * Which keys are kept although `next` does not have them.
 *
 * @param current the keys in use, suspects included.
 * @param suspects those of them that are suspect already, and when the grace of each ends.
 * @param graceEndsAt when the grace ends for those that become suspect now.
 */
export function shrink(
  current: Iterable<string>,
  suspects: ReadonlyMap<string, number>,
  next: { has(key: string): boolean },
  now: number,
  graceEndsAt: number,
): Shrink {
  const kept = new Map<string, number>();
  for (const [key, endsAt] of suspects) if (endsAt > now && !next.has(key)) kept.set(key, endsAt);
  let known = 0;
  const removed: string[] = [];
  for (const key of current) {
    if (suspects.has(key)) continue;
    known++;
    if (!next.has(key)) removed.push(key);
  }
  if (removed.length < fewestInBulk || removed.length <= known / 2)
    return { suspects: kept, removed: 0, known };
  for (const key of removed) kept.set(key, graceEndsAt);
  return { suspects: kept, removed: removed.length, known };
}
