/** Waits on a clock, and not longer than a signal allows: for sources that pace themselves. */
import type { Clock } from "../core/clock.ts";

/** Resolves after `ms`, or when the signal aborts. The timer does not keep the process alive. */
export function pause(ms: number, signal: AbortSignal, clock: Clock): Promise<void> {
  if (ms <= 0 || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      timer.cancel();
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = clock.schedule(end, ms);
    signal.addEventListener("abort", end);
  });
}
