/** The one error class of Evenkeel, and its stable codes. */

/**
 * Why a call, or the making of a cluster, failed:
 * - `ERR_NO_NODE`: no node could take the call, or none that did gave an answer;
 * - `ERR_DEADLINE`: the call's time, or the time of its last attempt, ran out;
 * - `ERR_OVERLOADED`, `ERR_RATE_LIMITED`, `ERR_CIRCUIT_OPEN`: refused before anything was sent;
 * - `ERR_CLOSED`: the cluster or balancer is closed;
 * - `ERR_CONFIG`: the call does not fit the nodes (an `https:` URL and an `http:` node).
 */
export type BalancerErrorCode =
  | "ERR_NO_NODE"
  | "ERR_DEADLINE"
  | "ERR_OVERLOADED"
  | "ERR_RATE_LIMITED"
  | "ERR_CIRCUIT_OPEN"
  | "ERR_CLOSED"
  | "ERR_CONFIG";

/** An error that Evenkeel raises itself. What a node or a transport raised last is its `cause`. */
export class BalancerError extends Error {
  override readonly name: string = "BalancerError";
  /** The stable reason; messages may change, codes do not. */
  readonly code: BalancerErrorCode;
  /** The service that was called. */
  readonly service: string;

  constructor(code: BalancerErrorCode, service: string, message: string, cause?: unknown) {
    super(`${service}: ${message}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.service = service;
  }
}

/** The `code` of an error as Node and undici set it (`"ECONNREFUSED"`), or undefined. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** The shortest useful text for an error inside another message: its code, else its message. */
export function describeError(error: unknown): string {
  const code = errorCode(error);
  if (code !== undefined) return code;
  return error instanceof Error ? error.message : String(error);
}
