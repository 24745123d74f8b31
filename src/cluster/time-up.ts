/**
 * What it means that time ran out: whether an attempt has had its own, whether a body stands still, and whether the
 * end of the call's time is its node's doing.
 *
 * Functions of numbers alone, as each call asks them and each transport has its own idea of a deadline.
 */
/**
 * Of an attempt that the call's deadline cut short: the share of the whole time from which on it counts against
 * the node. An attempt that began late, after others had used the time up, was given no fair chance.
 */
const fairShare = 0.5;

/** And, where the deadline is inherited, how many times what the node usually takes it has to have had. */
const usualTimes = 2;

/** A timer may be early by so much. */
const earlyMs = 1;

/** A timer as late as this tells of a blocked event loop. */
const blockedFromMs = 50;

/**
 * Whether an attempt that the end of the call's time cut short had a fair part of that: then it counts against the node.
 *
 * @param waitedMs how long the node was waited for: see `Attempt.waitedMs`.
 * @param wholeMs how long the call had, from its start to its deadline.
 * @param usualMs where the deadline is inherited, of which little may have been left to begin with: what the node
 *   usually takes.
 */
export function hadFairChance(waitedMs: number, wholeMs: number, usualMs = 0): boolean {
  return waitedMs >= Math.max(fairShare * wholeMs, usualTimes * usualMs);
}

/**
 * When an attempt will have had its time, at the earliest; `now` when it has.
 *
 * @param hadMs what it has had: see `Attempt.elapsedMs` and `waitedMs`. While this process was blocked it could not
 *   have read an answer: the node gets that time back.
 */
export function attemptDueAt(hadMs: number, attemptMs: number, now: number): number {
  const leftMs = attemptMs - hadMs;
  return leftMs <= earlyMs ? now : now + leftMs;
}

/** What is known of a body when it is looked after. */
export interface BodyWait {
  /** When the latest piece came. */
  readonly heardAt: number;
  /** The longest wait between two pieces. */
  readonly idleMs: number;
  /** The caller holds it up. */
  readonly isPaused: boolean;
  /** How late it is looked after. */
  readonly lateMs: number;
}

/** When a body is to be looked after again; `now` or before when it has stood still for too long. */
export function bodyDueAt({ heardAt, idleMs, isPaused, lateMs }: BodyWait, now: number): number {
  // While the caller holds it up, or this process stood still, the node could send or we could read nothing.
  if (!isPaused && lateMs <= blockedFromMs) return heardAt + idleMs;
  return Math.max(now + 1, Math.max(heardAt, now - lateMs) + idleMs);
}
