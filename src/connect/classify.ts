/** What the end of a call over gRPC or Connect means for the node. The codes of both protocols are the same numbers. */
import type { IncomingHttpHeaders } from "node:http";
import { outcomeOfStatus } from "../core/classify.ts";
import { retryHeader } from "../core/layers.ts";
import { failure, ignored, type Outcome, success } from "../core/outcome.ts";
import { Code, nameOfCode } from "./code.ts";

/** What is held against the node, as Envoy's outlier detection takes them; any other code is an answer like OK. */
const failures: ReadonlyMap<number, Outcome> = new Map(
  [Code.Unknown, Code.ResourceExhausted, Code.Internal, Code.Unavailable, Code.DataLoss].map((code) => [
    code,
    failure("status", nameOfCode(code)),
  ]),
);
const tooLate = failure("timeout", "DeadlineExceeded");
const unfair = ignored("deadline", "the call's time ran out");
const cancelled = ignored("aborted", "Canceled");

/** @param hadItsChance the attempt had a fair part of the call's time: its running out is the node's doing. */
export function outcomeOfCode(code: number, hadItsChance: boolean): Outcome {
  if (code === Code.DeadlineExceeded) return hadItsChance ? tooLate : unfair;
  if (code === Code.Canceled) return cancelled;
  return failures.get(code) ?? success;
}

/** The code that the node gave in gRPC's way; undefined where there is none, as in Connect's own protocol. */
export function grpcCodeOf(
  headers: IncomingHttpHeaders | undefined,
  trailers: IncomingHttpHeaders | undefined,
): number | undefined {
  const written = trailers?.["grpc-status"] ?? headers?.["grpc-status"];
  if (typeof written !== "string" || !/^\d{1,3}$/.test(written)) return undefined;
  return Number(written);
}

/** A gRPC server always says how a call went. */
const cutOff = failure("reset", "no grpc-status at the end");

/** What an answer means of which no more is known than its HTTP status, where the node says nothing at its end. */
export function outcomeOfAnswer(
  status: number,
  headers: IncomingHttpHeaders | undefined,
  trailers: IncomingHttpHeaders | undefined,
  hadItsChance: boolean,
): Outcome {
  const code = grpcCodeOf(headers, trailers);
  const isCutOff = code === undefined && status === 200 && isGrpc(headers);
  if (isCutOff) return cutOff;
  const outcome = code === undefined ? outcomeOfStatus(status) : outcomeOfCode(code, hadItsChance);
  return madeGoodBelow(outcome, headers, trailers);
}

/** Not gRPC-Web, whose bodies hold the trailers, compressed in some way that is not known here perhaps. */
function isGrpc(headers: IncomingHttpHeaders | undefined): boolean {
  return /^application\/grpc(?!-)/.test(headers?.["content-type"] ?? "");
}

/** A lower layer has tried to make the failure good: the node did its work. */
export function madeGoodBelow(
  outcome: Outcome,
  headers: IncomingHttpHeaders | undefined,
  trailers: IncomingHttpHeaders | undefined,
): Outcome {
  if (outcome.kind !== "failure") return outcome;
  const said = trailers?.[retryHeader] ?? headers?.[retryHeader];
  return said === "no" ? failure("dependency", outcome.detail) : outcome;
}
