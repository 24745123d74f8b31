/** Waits until the machine is quiet: a test that compares times would else measure what else goes on. */
import { setTimeout as sleep } from "node:timers/promises";

/** A timer that is later than this has waited for a processor. */
const lateMs = 20;
const quietMs = 1_000;
const intervalMs = 5;

/**
 * Resolves when for a second no timer was late.
 *
 * @throws Error when that has not come within `limitMs`: nothing that would be measured then would mean anything.
 */
export async function untilQuiet(limitMs: number): Promise<void> {
  const startedAt = performance.now();
  let quietSince = startedAt;
  for (let now = startedAt; now - quietSince < quietMs; ) {
    await sleep(intervalMs);
    const before = now;
    now = performance.now();
    if (now - before > intervalMs + lateMs) quietSince = now;
    if (now - startedAt > limitMs) throw new Error(`the machine was not quiet for a second in ${limitMs} ms`);
  }
}
