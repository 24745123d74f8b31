/** The signal of the call that the running code answers. */
import { currentContext } from "../resilience/call-context.ts";

/**
 * Aborted when nobody waits for the answer any more: the caller has gone, or the deadline has passed. Calls through
 * Evenkeel obey it by themselves; this is for a database, a file, a calculation.
 *
 * @returns undefined outside of a handler under `protect()`.
 *
 * @example
 * const rows = await database.query(sql, { signal: callSignal() });
 */
export function callSignal(): AbortSignal | undefined {
  return currentContext()?.signal;
}
