/** Waits for something that real processes bring about, within a limit. */
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Looks every few milliseconds until `condition` holds, and says how long that took.
 *
 * @throws Error that names `what` when it does not hold within `limitMs`.
 */
export async function until(what: string, condition: () => boolean, limitMs: number): Promise<number> {
  const startedAt = performance.now();
  while (!condition()) {
    if (performance.now() - startedAt > limitMs) throw new Error(`not within ${limitMs} ms: ${what}`);
    await sleep(5);
  }
  return performance.now() - startedAt;
}
