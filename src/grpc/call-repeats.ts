/**
 * What is kept of a gRPC call that does not end with its first attempt: where it has been, and what it was granted.
 *
 * Most calls do end with it, and are made with none of this: what a call holds is cleared out of the processor's caches
 * while it waits for its answer, and each piece more of it is paid for twice.
 */
import type { Node } from "../core/node.ts";
import type { GrpcAttempt, Status } from "./grpc-attempt.ts";

export class CallRepeats {
  /** Nodes that another attempt leaves out; undefined when any will do. */
  tried: Node[] | undefined = undefined;
  /** Attempts before the latest that have not ended, as hedging has them. */
  others: GrpcAttempt[] | undefined = undefined;
  addedPushback = false;
  /** What an attempt ended with whose time was up: as UNAVAILABLE, or grpc-js would not make it good. */
  timedOut: string | undefined = undefined;
  /** Its credentials are UNAVAILABLE: it ended as UNAUTHENTICATED, or grpc-js would ask for them again and again. */
  lacksCredentials = false;
  /** Attempts that their nodes did not process, as the connection was being closed: these are not counted, up to as many. */
  passedOver = 0;
  /** How often there was no node for it. */
  misses = 0;
  /** Retries that were granted out of the budget. */
  extras = 0;
  /** Of a hedged call: its next attempt is paid for. */
  isGranted = false;
  /** Its last attempt met a connection that was being closed: the next one costs nothing. */
  wasPassedOver = false;
  /** How the last attempt of a hedged call failed that no other one stands in for yet. */
  failed: Status | undefined = undefined;

  /** Whether an attempt is under way besides the latest. */
  get isUnderWay(): boolean {
    return this.others?.some((attempt) => !attempt.ended) === true;
  }
}
