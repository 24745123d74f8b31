/** What the status of a gRPC call means for the node, in the way Envoy's outlier detection takes them. */
import { status } from "@grpc/grpc-js";
import { failure, ignored, type Outcome, success } from "../core/outcome.ts";

/** What is held against the node wherever it comes from. */
const failures: ReadonlyMap<number, Outcome> = new Map(
  [
    status.UNKNOWN,
    status.RESOURCE_EXHAUSTED,
    status.INTERNAL,
    status.UNAVAILABLE,
    status.DATA_LOSS,
    status.DEADLINE_EXCEEDED,
  ].map((code) => [code, failure("status", status[code] ?? String(code))]),
);

/** Whether the status is one that speaks against whoever gave it. */
export function isFailure(code: number): boolean {
  return failures.has(code);
}

const dropped = failure("reset", "connection dropped");
/** An unanswered PING, as a rule, whose answer this process did not come to read. */
const droppedByUs = ignored("shortage", "connection dropped while this process was blocked");
const refused = failure("reset", "stream refused");
const goAway = ignored("closing", "GOAWAY");
/** The peer ended the connection, for our own doing: pings, as a rule. */
export const calm: Outcome = ignored("closing", "ENHANCE_YOUR_CALM");
const cancelled = ignored("aborted", "CANCELLED");
const tooLarge = ignored("call", "the answer is larger than grpc.max_receive_message_length");

/** What is known of an attempt that has ended. */
export interface AttemptEnd {
  readonly code: number;
  readonly details: string;
  /** The peer has not processed it (REFUSED_STREAM). */
  readonly isRefused: boolean;
  /** The connection takes no further calls. */
  readonly isClosing: boolean;
  /** The attempt had a fair part of the call's time: its running out is the node's doing. */
  readonly hadItsChance: boolean;
  /** While the attempt lasted this process was blocked for much of the time that a PING's answer is given, or longer. */
  readonly wasBlocked: boolean;
}

/** Any status that a handler gives on purpose (NOT_FOUND, INVALID_ARGUMENT) is an answer. */
export function outcomeOfEnd(end: AttemptEnd): Outcome {
  const { code, details, isRefused, isClosing, hadItsChance, wasBlocked } = end;
  if (code === status.OK) return success;
  if (isRefused) return isClosing ? goAway : refused;
  if (code === status.CANCELLED) return cancelled;
  if (code === status.DEADLINE_EXCEEDED) {
    return hadItsChance
      ? failure("timeout", "DEADLINE_EXCEEDED")
      : ignored("deadline", "the call's time ran out");
  }
  // Texts of grpc-js' own, for what it has no code for.
  if (code === status.UNAVAILABLE && details === "Connection dropped")
    return wasBlocked ? droppedByUs : dropped;
  if (code === status.UNAVAILABLE && /^(read|write) E[A-Z]+$/.test(details)) return failure("reset", details);
  if (code === status.RESOURCE_EXHAUSTED && isClosing && details.startsWith("Bandwidth exhausted"))
    return calm;
  if (code === status.RESOURCE_EXHAUSTED && details.startsWith("Received message larger than max")) {
    return tooLarge;
  }
  return failures.get(code) ?? success;
}
