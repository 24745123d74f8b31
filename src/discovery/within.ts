/** Waits for something that may never come: not longer than a time, nor than a signal allows. */
import type { Clock } from "../core/clock.ts";

/**
 * What is promised.
 *
 * @throws what the promise rejects with, the signal's reason once that aborts, or an Error after `ms`.
 */
export async function within<T>(
  promised: T | PromiseLike<T>,
  ms: number,
  signal: AbortSignal,
  clock: Clock,
): Promise<T> {
  const over = Promise.withResolvers<never>();
  const abort = (): void => over.reject(signal.reason);
  const timer = clock.schedule(() => over.reject(new Error(`nothing came within ${ms} ms`)), ms);
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  try {
    return await Promise.race([promised, over.promise]);
  } finally {
    timer.cancel();
    signal.removeEventListener("abort", abort);
  }
}
