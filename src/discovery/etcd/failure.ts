/** What a failed call to etcd means for what comes next. */

export type Failure =
  /** The connection or the member behind it is no good: go to another one. */
  | "connection"
  /** The token has expired, or users and roles have changed since it was given: authenticate again. */
  | "token"
  | "denied"
  /** The revision that was asked for is gone. */
  | "compacted"
  /** The lease has expired or never was. */
  | "lease"
  /** The answer is larger than grpc-js was told to take, or than etcd may send. */
  | "size"
  | "other";

/** A failure whose meaning is known. */
export class EtcdError extends Error {
  override readonly name: string = "EtcdError";
  readonly failure: Failure;

  constructor(failure: Failure, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.failure = failure;
  }
}

/** Codes of google.rpc.Code. */
const canceled = 1;
const deadlineExceeded = 4;
const permissionDenied = 7;
const internal = 13;
const unavailable = 14;
const unauthenticated = 16;

const ofConnections: ReadonlySet<number> = new Set([canceled, deadlineExceeded, internal, unavailable]);

/**
 * Texts of etcd's api/v3rpc/rpctypes/error.go. Some share a code with unrelated errors, and the reason of a canceled
 * watch has no code at all. A user without a name is what a client without a token is taken for.
 */
const texts: readonly (readonly [text: string, failure: Failure])[] = [
  ["invalid auth token", "token"],
  ["revision of auth store is old", "token"],
  ["user name is empty", "token"],
  ["required revision has been compacted", "compacted"],
  ["requested lease not found", "lease"],
  ["permission denied", "denied"],
  ["message larger than max", "size"],
];

/** @param error an `EtcdError`, an error of grpc-js, or an object with a message alone. */
export function failureOf(error: unknown): Failure {
  if (error instanceof EtcdError) return error.failure;
  if (typeof error !== "object" || error === null) return "other";
  const { code, message } = error as { readonly code?: unknown; readonly message?: unknown };
  for (const [text, failure] of texts) if (String(message).includes(text)) return failure;
  if (code === unauthenticated) return "token";
  if (code === permissionDenied) return "denied";
  // Calls are canceled with their connection, and internal is what grpc-js makes of a stream that was reset.
  if (typeof code === "number" && ofConnections.has(code)) return "connection";
  return "other";
}
