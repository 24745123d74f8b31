/**
 * How an attempt ended: success, failure or ignored, and why.
 *
 * A failure is held against the node. What is the caller's own doing (an abort, a shortage of file
 * descriptors, a failed name look-up) is ignored: it says nothing about the node.
 */

/** Why an attempt is held against its node. */
export type FailureReason =
  /** The node refused the connection: nobody listens there. */
  | "refused"
  /** No route to the node (EHOSTUNREACH, ENETUNREACH). */
  | "unreachable"
  /** Connecting failed otherwise, or took longer than `connectMs`. */
  | "connect"
  /** No answer in time. */
  | "timeout"
  /** The connection broke before the answer was whole. */
  | "reset"
  /** The node answered with a status that counts as failure (5xx, 429). */
  | "status"
  /**
   * The node answered that something it depends on failed, and that asking again is no use (`evenkeel-retry: no`). It
   * shows in the node's failure rate, and takes no node out: it would be no other on the next one.
   */
  | "dependency"
  /**
   * The node has too much to do, and refused the call for that (503 or 429 with Retry-After). It shows in its failure
   * rate, which draws calls away from it, and counts little towards ejection: what it does answer is needed.
   */
  | "overloaded"
  /** Anything else that the transport reports. */
  | "error";

/** Why an attempt says nothing about its node. */
export type IgnoredReason =
  /** The caller gave the call up. */
  | "aborted"
  /** The caller's own shortage: EMFILE, ENFILE, ENOBUFS, EADDRNOTAVAIL, ENETDOWN, a failed name look-up. */
  | "shortage"
  /** All connections that the node may have are in use. */
  | "busy"
  /** The node closed the connection in good order before it had processed the call. */
  | "closing"
  /** It ended without having been sent: however long that took, it was not the node's time. */
  | "unsent"
  /** Another attempt of the same call was answered first. */
  | "hedged"
  /** The call's own deadline cut the attempt short, before the node had a fair time to answer. */
  | "deadline"
  /** The call itself was at fault (an invalid header, a body that threw). */
  | "call";

export type Outcome =
  | { readonly kind: "success"; readonly reason: "ok"; readonly detail: string }
  | { readonly kind: "failure"; readonly reason: FailureReason; readonly detail: string }
  | { readonly kind: "ignored"; readonly reason: IgnoredReason; readonly detail: string };

/** Shared by all successes, so that the usual end of an attempt allocates nothing. */
export const success: Outcome = { kind: "success", reason: "ok", detail: "" };

/** A failure; `detail` is what a person would want to read: `"503"`, `"ECONNREFUSED"`. */
export function failure(reason: FailureReason, detail: string): Outcome {
  return { kind: "failure", reason, detail };
}

/** An end that is not held against the node. */
export function ignored(reason: IgnoredReason, detail: string): Outcome {
  return { kind: "ignored", reason, detail };
}
