/** Our own errors as Connect's clients expect them: a ConnectError with a code, ours being its cause. */
import type { ConnectError } from "@connectrpc/connect";
import { BalancerError, type BalancerErrorCode } from "../core/errors.ts";
import { Code } from "./code.ts";
import { connectError, isConnectError } from "./connect-peer.ts";

const codes: Readonly<Record<BalancerErrorCode, number>> = {
  ERR_NO_NODE: Code.Unavailable,
  ERR_DEADLINE: Code.DeadlineExceeded,
  ERR_OVERLOADED: Code.ResourceExhausted,
  ERR_RATE_LIMITED: Code.ResourceExhausted,
  ERR_CIRCUIT_OPEN: Code.Unavailable,
  ERR_CLOSED: Code.Unavailable,
  ERR_CONFIG: Code.Internal,
};

/**
 * What is a ConnectError already, the caller's own abort as a rule, stays as it is. Of anything else but misuse the caller,
 * or the handler that the call was made in, has given the reason why nobody waits any more.
 */
export function connectErrorOf(error: Error): ConnectError {
  if (isConnectError(error)) return error;
  if (error instanceof BalancerError) return connectError(error.message, codes[error.code], error);
  const isMisuse = error instanceof TypeError || error instanceof RangeError;
  return connectError(error.message, isMisuse ? Code.Internal : Code.Canceled, error);
}
