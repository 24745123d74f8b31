/** A pause on a clock that ends early when a signal aborts. */
import type { Clock } from "./clock.ts";

/** Resolves after `ms`, or as soon as the signal is aborted; it never rejects, and leaves no timer or listener. */
export function sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (ms <= 0 || signal.aborted) return resolve();
    const finish = (): void => {
      timer.cancel();
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const timer = clock.schedule(finish, ms);
    signal.addEventListener("abort", finish);
  });
}
