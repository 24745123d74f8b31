/** What a system error or an HTTP status means for the node: the part that every transport shares. */
import { errorCode } from "./errors.ts";
import {
  type FailureReason,
  failure,
  type IgnoredReason,
  ignored,
  type Outcome,
  success,
} from "./outcome.ts";

/**
 * Error codes of Node's `net`, `tls` and `dns`. What is the caller's own shortage is never a node's failure
 * (DESIGN.md, "What must hold everywhere").
 */
const reasons: Readonly<Record<string, FailureReason | IgnoredReason>> = {
  ECONNREFUSED: "refused",
  // A Unix socket whose file is gone: nobody listens there.
  ENOENT: "refused",
  EHOSTUNREACH: "unreachable",
  ENETUNREACH: "unreachable",
  EHOSTDOWN: "unreachable",
  ECONNRESET: "reset",
  EPIPE: "reset",
  ETIMEDOUT: "timeout",
  EMFILE: "shortage",
  ENFILE: "shortage",
  ENOBUFS: "shortage",
  ENOMEM: "shortage",
  EADDRNOTAVAIL: "shortage",
  ENETDOWN: "shortage",
  ENOTFOUND: "shortage",
  EAI_AGAIN: "shortage",
  EAI_FAIL: "shortage",
  ABORT_ERR: "aborted",
};

const ignoredReasons: ReadonlySet<string> = new Set(["aborted", "shortage"]);

/** The outcome for an error's code, or undefined for a code that is not one of the system's. */
export function outcomeOfCode(code: string): Outcome | undefined {
  const reason = Object.hasOwn(reasons, code) ? reasons[code] : undefined;
  if (reason === undefined) return undefined;
  return ignoredReasons.has(reason)
    ? ignored(reason as IgnoredReason, code)
    : failure(reason as FailureReason, code);
}

/**
 * The outcome for an error of unknown kind; anything unknown is a failure.
 *
 * An `AggregateError`, as `net.connect` raises when every address of a name failed, counts as its first failure. Its
 * own code is that of its first error, which may be our shortage only (EADDRNOTAVAIL for `::1` on a host without
 * IPv6) while the node refused at its other address.
 */
export function outcomeOfError(error: unknown): Outcome {
  if (error instanceof AggregateError && error.errors.length > 0) return outcomeOfAll(error.errors);
  const code = errorCode(error);
  const known = code === undefined ? undefined : outcomeOfCode(code);
  if (known !== undefined) return known;
  if (error instanceof Error && error.name === "AbortError") return ignored("aborted", "AbortError");
  return failure("error", code ?? (error instanceof Error ? error.message : String(error)));
}

function outcomeOfAll(errors: readonly unknown[]): Outcome {
  const outcomes = errors.map(outcomeOfError);
  return outcomes.find(({ kind }) => kind === "failure") ?? (outcomes[0] as Outcome);
}

/** 5xx and 429 are held against the node; 501 and 505 are about the request. Other statuses are its answer. */
export function outcomeOfStatus(status: number): Outcome {
  if (status < 500 && status !== 429) return success;
  if (status === 501 || status === 505) return success;
  return statusFailures.get(status) ?? failure("status", String(status));
}

/** The usual ones are made once, so that an outage does not allocate for each failure. */
const statusFailures: ReadonlyMap<number, Outcome> = new Map(
  [429, 500, 502, 503, 504].map((status) => [status, failure("status", String(status))]),
);
