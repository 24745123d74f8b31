/** Which of several sources is used, and how many have to be watched for that: pure functions over their states. */
import type { SourceState } from "./source-set.ts";

export interface Choice {
  /** The source whose set is used; undefined while none has answered. */
  readonly use: number | undefined;
  /** Sources from the first on that are to be watched. */
  readonly watched: number;
  /** When to look again even if nothing happens. */
  readonly lookAgainAt: number;
}

/**
 * The first source that has answered and has not been failing for `staleMs` since; while there is none, the first that
 * has answered at all. A source is given `waitMs` for its first answer before the next one is begun.
 */
export function choose(
  states: readonly SourceState[],
  now: number,
  { waitMs, staleMs }: { readonly waitMs: number; readonly staleMs: number },
): Choice {
  let lookAgainAt = Number.POSITIVE_INFINITY;
  const answered = states.findIndex(({ endpoints }) => endpoints !== undefined);
  const use = answered < 0 ? undefined : answered;
  for (const [index, { phase, since, endpoints }] of states.entries()) {
    const watched = index + 1;
    const patienceEndsAt = since + (endpoints === undefined ? waitMs : staleMs);
    switch (phase) {
      case "idle":
        return { use, watched, lookAgainAt: now };
      case "pending":
        if (now >= patienceEndsAt) continue;
        return { use, watched, lookAgainAt: Math.min(lookAgainAt, patienceEndsAt) };
      case "failing":
        if (endpoints === undefined || now >= patienceEndsAt) continue;
        lookAgainAt = Math.min(lookAgainAt, patienceEndsAt);
        return { use: index, watched, lookAgainAt };
      case "final":
        if (endpoints === undefined) continue;
        return { use: index, watched, lookAgainAt };
      case "answering":
        return { use: index, watched, lookAgainAt };
    }
  }
  return { use, watched: states.length, lookAgainAt };
}
