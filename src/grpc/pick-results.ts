/** What a picker answers when there is no node for a call, in the way grpc-js takes it. */
import { experimental, Metadata, status } from "@grpc/grpc-js";

const { PickResultType } = experimental;
type Result = experimental.PickResult;
type Ended = NonNullable<Result["status"]>;

/** The call waits until something changes. */
export const queued: Result = resultOf(PickResultType.QUEUE, null);

/** Fails the attempt, which the retryPolicy may make good; with `waitForReady` the call waits. */
export function unavailable(details: string, metadata?: Metadata): Result {
  return resultOf(PickResultType.TRANSIENT_FAILURE, endedAs(status.UNAVAILABLE, details, metadata));
}

/** Ends the call, whatever its options say. */
export function dropped(ended: Ended): Result {
  return resultOf(PickResultType.DROP, ended);
}

export function endedAs(code: status, details: string, metadata: Metadata = new Metadata()): Ended {
  return { code, details, metadata };
}

function resultOf(pickResultType: experimental.PickResultType, ended: Ended | null): Result {
  return {
    pickResultType,
    subchannel: null,
    status: ended,
    onCallStarted: null,
    onCallEnded: null,
  } as Result;
}
