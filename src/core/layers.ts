/** What the layers of a chain of services tell each other. */
import { BalancerError } from "./errors.ts";

/** Set to "no" on a failure that a lower layer has tried to make good: asking again is no use. */
export const retryHeader = "evenkeel-retry";
/** How much the call matters, when that is not "default". */
export const priorityHeader = "evenkeel-priority";

/** Failures that are the program's own doing: a fallback would only hide them. */
const ownDoing: ReadonlySet<string> = new Set(["ERR_CLOSED", "ERR_CONFIG"]);

/** Whether the error is one that a fallback stands in for. */
export function isMadeGood(error: Error): error is BalancerError {
  return error instanceof BalancerError && !ownDoing.has(error.code);
}
