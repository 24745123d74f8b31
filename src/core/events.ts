/**
 * What happens inside, published on Node's `diagnostics_channel`: typed, and free when nobody listens.
 *
 * @example
 * import diagnosticsChannel from "node:diagnostics_channel";
 * diagnosticsChannel.subscribe("evenkeel:node:state", (event) => console.log(event));
 */
import { type Channel, channel } from "node:diagnostics_channel";
import type { CallPriority } from "./contracts.ts";
import type { BalancerErrorCode } from "./errors.ts";
import type { NodeState } from "./view.ts";

/** A call as its events name it. */
interface CallEvent {
  readonly service: string;
  readonly method: string;
  readonly path: string;
  /** The same object in all events of one call, and in those of no other: a key for a WeakMap. */
  readonly call: object;
}

/** Published where the caller's code called: what is in its asynchronous context is still at hand. */
export interface CallStartEvent extends CallEvent {}

/** Once for each `CallStartEvent`. */
export interface CallEndEvent extends CallEvent {
  /**
   * `success`: the whole answer came. `failure`: no answer, one that broke off, or one whose status is held against
   * its node. `ignored`: the caller gave up, or the call itself was at fault.
   */
  readonly outcome: "success" | "failure" | "ignored";
  /** How many attempts were made; 0 for a call that was refused. */
  readonly attempts: number;
}

interface AttemptEvent extends CallEvent {
  readonly address: string;
  /** 1 for the first try of a call. */
  readonly attempt: number;
}

export interface AttemptStartEvent extends AttemptEvent {
  /**
   * Sends a header with this attempt, in place of one of the same name: for what each attempt needs of its own, such
   * as trace context. Only while the event is published.
   */
  addHeader(name: string, value: string): void;
}

export interface AttemptEndEvent extends AttemptEvent {
  readonly outcome: "success" | "failure" | "ignored";
  readonly reason: string;
  readonly detail: string;
  /** Of the answer, also of one that then broke off; undefined when there was none. */
  readonly statusCode: number | undefined;
  /** Time to the final headers, or to the end if there were none; own event-loop blockage left out. */
  readonly latencyMs: number | undefined;
  /** From dispatch to the end of the body. */
  readonly durationMs: number;
}

export interface NodeStateEvent {
  readonly service: string;
  readonly address: string;
  readonly from: NodeState | "new";
  readonly to: NodeState | "gone";
  readonly reason: string;
}

export interface DiscoveryUpdateEvent {
  readonly service: string;
  /** Size of the set that is now in use. */
  readonly endpoints: number;
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
}

export interface DiscoveryErrorEvent {
  readonly service: string;
  /** What the source raised, or why one endpoint or one set was refused. */
  readonly error: unknown;
}

export interface RegistrationStateEvent {
  readonly service: string;
  readonly address: string;
  readonly id: string;
  /** What one registry has come to hold of this process's own server. */
  readonly state: "registered" | "deregistered";
}

export interface RegistrationErrorEvent {
  readonly service: string;
  /** Undefined before the server listens. */
  readonly address: string | undefined;
  readonly error: unknown;
}

export interface RetryEvent {
  readonly service: string;
  /** The node whose attempt is made good. */
  readonly address: string;
  /** The number of the attempt that follows. */
  readonly attempt: number;
  readonly delayMs: number;
  readonly reason: string;
  readonly detail: string;
}

export interface LimitErrorEvent {
  readonly service: string;
  /** Why a rate limit that is shared could not be asked. The call went out. */
  readonly error: unknown;
}

export interface RejectEvent {
  readonly service: string;
  readonly code: BalancerErrorCode;
  readonly message: string;
}

/** A protected server of this process refused a call before its work began. */
export interface ShedEvent {
  /** The server's own name. */
  readonly service: string;
  readonly method: string;
  readonly path: string;
  readonly priority: CallPriority;
  readonly reason: "deadline" | "event loop" | "concurrency";
  /** Calls in flight, and the most that may be. */
  readonly inflight: number;
  readonly limit: number;
}

export interface Events {
  readonly "evenkeel:call:start": CallStartEvent;
  readonly "evenkeel:call:end": CallEndEvent;
  readonly "evenkeel:attempt:start": AttemptStartEvent;
  readonly "evenkeel:attempt:end": AttemptEndEvent;
  readonly "evenkeel:node:state": NodeStateEvent;
  readonly "evenkeel:discovery:update": DiscoveryUpdateEvent;
  readonly "evenkeel:discovery:error": DiscoveryErrorEvent;
  readonly "evenkeel:registration:state": RegistrationStateEvent;
  readonly "evenkeel:registration:error": RegistrationErrorEvent;
  readonly "evenkeel:retry": RetryEvent;
  readonly "evenkeel:reject": RejectEvent;
  readonly "evenkeel:limit:error": LimitErrorEvent;
  readonly "evenkeel:shed": ShedEvent;
}

function typedChannel<Name extends keyof Events>(name: Name): Channel<Events[Name]> {
  return channel(name) as Channel<Events[Name]>;
}

export const callStarts: Channel<CallStartEvent> = typedChannel("evenkeel:call:start");
export const callEnds: Channel<CallEndEvent> = typedChannel("evenkeel:call:end");
export const attemptStarts: Channel<AttemptStartEvent> = typedChannel("evenkeel:attempt:start");
export const attemptEnds: Channel<AttemptEndEvent> = typedChannel("evenkeel:attempt:end");
export const nodeStates: Channel<NodeStateEvent> = typedChannel("evenkeel:node:state");
export const discoveryUpdates: Channel<DiscoveryUpdateEvent> = typedChannel("evenkeel:discovery:update");
export const discoveryErrors: Channel<DiscoveryErrorEvent> = typedChannel("evenkeel:discovery:error");
export const registrationStates: Channel<RegistrationStateEvent> = typedChannel(
  "evenkeel:registration:state",
);
export const registrationErrors: Channel<RegistrationErrorEvent> = typedChannel(
  "evenkeel:registration:error",
);
export const retries: Channel<RetryEvent> = typedChannel("evenkeel:retry");
export const rejects: Channel<RejectEvent> = typedChannel("evenkeel:reject");
export const limitErrors: Channel<LimitErrorEvent> = typedChannel("evenkeel:limit:error");
export const sheds: Channel<ShedEvent> = typedChannel("evenkeel:shed");
