/** How Connect's protocols tell the called side the time that a call has, and which protocol a request speaks. */
import { deadlineHeaderValue, parseDeadlineHeader } from "../resilience/deadline-header.ts";

const grpcTimeout = "grpc-timeout";
const connectTimeout = "connect-timeout-ms";

export type Header = (name: string) => string | undefined;

/** gRPC and gRPC-Web have one name for it, Connect another. */
export function timeoutHeaderName(header: Header): string {
  return header("content-type")?.startsWith("application/grpc") === true ? grpcTimeout : connectTimeout;
}

/** The time that the caller gave the call (`timeoutMs`), undefined for none. */
export function timeoutOf(header: Header): number | undefined {
  const name = timeoutHeaderName(header);
  const value = header(name);
  return value === undefined ? undefined : parseDeadlineHeader(name, value);
}

/**
 * The header for an attempt, undefined where the caller's own still holds.
 *
 * @param ownMs what the caller gave the call.
 * @param leftMs what is left of that, or of what the call inherited.
 */
export function timeoutHeader(
  header: Header,
  ownMs: number | undefined,
  leftMs: number,
): readonly [string, string] | undefined {
  // A millisecond may have passed since the caller wrote it.
  if (leftMs === Number.POSITIVE_INFINITY || (ownMs !== undefined && leftMs > ownMs - 1)) return undefined;
  const name = timeoutHeaderName(header);
  return [name, deadlineHeaderValue(name, leftMs)];
}

/** Whether the request is known to have one message each way: gRPC does not tell its unary calls from its streams. */
export function isUnary(header: Header): boolean {
  const type = header("content-type");
  return type === undefined || !/^application\/(?:grpc|connect\+)/.test(type);
}
