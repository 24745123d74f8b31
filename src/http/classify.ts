/** What an undici error or an HTTP answer means for the node, and what Retry-After asks for. */
import type { IncomingHttpHeaders } from "node:http";
import { outcomeOfError } from "../core/classify.ts";
import { BalancerError, errorCode } from "../core/errors.ts";
import { retryHeader } from "../core/layers.ts";
import { failure, ignored, type Outcome } from "../core/outcome.ts";
import { http2CodeOf, isCalmDemanded } from "./http2-errors.ts";

/** undici's own codes (undici 8.12). Everything else is a code of Node's or unknown. */
const outcomes: ReadonlyMap<string, Outcome> = new Map([
  ["UND_ERR_CONNECT_TIMEOUT", failure("connect", "connect timeout")],
  ["UND_ERR_HEADERS_TIMEOUT", failure("timeout", "headers timeout")],
  ["UND_ERR_BODY_TIMEOUT", failure("timeout", "body timeout")],
  ["ERR_PING_TIMEOUT", failure("timeout", "no answer to a PING")],
  ["UND_ERR_SOCKET", failure("reset", "connection closed")],
  // Also what a failed HTTP/2 session gives, despite its name (undici.md, "Surprises").
  ["UND_ERR_INFO", failure("reset", "connection lost")],
  // Our own doing: the node left and its connections were closed.
  ["UND_ERR_DESTROYED", failure("reset", "connection closed on our side")],
  ["UND_ERR_CLOSED", failure("reset", "connection closed on our side")],
  ["UND_ERR_ABORTED", ignored("aborted", "aborted")],
  ["UND_ERR_INVALID_ARG", ignored("call", "invalid argument")],
  ["UND_ERR_NOT_SUPPORTED", ignored("call", "not supported")],
  // A chunk of the request's body that is neither text nor bytes.
  ["ERR_INVALID_ARG_TYPE", ignored("call", "invalid argument")],
  ["UND_ERR_REQ_CONTENT_LENGTH_MISMATCH", ignored("call", "content-length does not match the body")],
]);

/** How an attempt failed, as far as that decides what it means and whether it may be sent again. */
export type AttemptFault =
  /** The caller's own code threw. */
  | "handler"
  /** Nothing was sent: no connection, or none that was free. */
  | "unsent"
  /** The node ends the connection in good order, and has not processed this request (GOAWAY). */
  | "unprocessed"
  /** The node has not processed this request, and would not (REFUSED_STREAM, a session that was ended at once). */
  | "refused"
  /** A connection that had been idle was closed at the very moment of its use, before any byte of an answer. */
  | "stale"
  /** Sent, and no more is known. */
  | "broken";

/** Whether the request provably was not processed. */
export function isUnprocessed(fault: AttemptFault): boolean {
  return fault === "unsent" || fault === "unprocessed" || fault === "refused";
}

/** What an attempt that failed so means for its node. */
export function outcomeOfFault(error: Error, fault: AttemptFault): Outcome {
  if (fault === "handler") return ignored("call", "the handler threw");
  if (error instanceof BalancerError) return ignored("busy", "no free connection");
  if (fault === "refused") return failure("reset", describeRefusal(error));
  const outcome = outcomeOfTransportError(error, fault !== "unsent");
  const isClosing = fault === "unprocessed" || (fault === "stale" && outcome.reason === "reset");
  // An error code in its GOAWAY is a fault of the node, or of the caller (ENHANCE_YOUR_CALM).
  if (!isClosing || (http2CodeOf(error) ?? 0) !== 0) return outcome;
  return ignored("closing", fault === "stale" ? "idle connection closed" : "GOAWAY");
}

function describeRefusal(error: Error): string {
  return isCalmDemanded(error) ? "ENHANCE_YOUR_CALM" : "stream refused";
}

/** @param connected whether the connection stood when it failed. */
export function outcomeOfTransportError(error: unknown, connected: boolean): Outcome {
  const code = errorCode(error);
  const known = code === undefined ? undefined : outcomes.get(code);
  if (known !== undefined) return known;
  const outcome = outcomeOfError(error);
  if (connected || outcome.kind !== "failure") return outcome;
  // Before the request was sent, whatever is not "refused" or "unreachable" is a connection that did not come about.
  const isPlain = outcome.reason === "refused" || outcome.reason === "unreachable";
  return isPlain ? outcome : failure("connect", outcome.detail);
}

/** Whether the answer says that asking again is no use: what it needed has been tried again already. */
export function mayNotBeRetried(headers: IncomingHttpHeaders): boolean {
  return headers[retryHeader] === "no";
}

/** Whether the answer, a failure, is a refusal for load. */
export function isOverloaded(status: number, headers: IncomingHttpHeaders): boolean {
  return (status === 503 || status === 429) && headers["retry-after"] !== undefined;
}

/** RFC 9110, 10.2.3: seconds or a date. 0 when absent or not understood. */
export function retryAfterMs(header: string | readonly string[] | undefined, wallNow: number): number {
  const value = typeof header === "string" ? header.trim() : header?.[0]?.trim();
  if (value === undefined || value === "") return 0;
  if (/^\d+$/.test(value)) return Number(value) * 1_000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? 0 : Math.max(0, date - wallNow);
}
