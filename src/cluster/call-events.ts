/**
 * What a call publishes of itself and of its attempts, the same over every transport.
 *
 * Nothing is put together while nobody listens. Whoever listens may end the call there and then: see `Call.isOver`.
 */
import type { Attempt } from "../core/attempt.ts";
import type { Clock } from "../core/clock.ts";
import {
  attemptEnds,
  attemptStarts,
  type CallEndEvent,
  callEnds,
  callStarts,
  retries,
} from "../core/events.ts";
import type { Outcome } from "../core/outcome.ts";

/** Of the cluster: its name is the service's in all events. */
interface Service {
  readonly name: string;
  readonly clock: Clock;
}

/** Of a call: it is itself the key that its events have in common. */
interface NamedCall {
  readonly method: string;
  readonly path: string;
}

export function publishCallStart({ name }: Service, call: NamedCall): void {
  if (!callStarts.hasSubscribers) return;
  callStarts.publish({ service: name, method: call.method, path: call.path, call });
}

export function publishCallEnd(
  { name }: Service,
  call: NamedCall,
  outcome: CallEndEvent["outcome"],
  attempts: number,
): void {
  if (!callEnds.hasSubscribers) return;
  callEnds.publish({ service: name, method: call.method, path: call.path, call, outcome, attempts });
}

/**
 * To be called where `attemptStarts.hasSubscribers`: else `addHeader` would be made for nothing.
 *
 * @param addHeader sends a header with this attempt.
 */
export function publishAttemptStart(
  { name }: Service,
  call: NamedCall,
  { node, number }: Attempt,
  addHeader: (name: string, value: string) => void,
): void {
  attemptStarts.publish({
    service: name,
    address: node.key,
    method: call.method,
    path: call.path,
    attempt: number,
    call,
    addHeader,
  });
}

export function publishAttemptEnd(
  { name, clock }: Service,
  call: NamedCall,
  attempt: Attempt,
  outcome: Outcome,
): void {
  if (!attemptEnds.hasSubscribers) return;
  attemptEnds.publish({
    service: name,
    address: attempt.node.key,
    method: call.method,
    path: call.path,
    attempt: attempt.number,
    call,
    outcome: outcome.kind,
    reason: outcome.reason,
    detail: outcome.detail,
    statusCode: attempt.statusCode,
    latencyMs: attempt.latencyMs,
    durationMs: clock.now() - attempt.startedAt,
  });
}

/** @param number of the attempt that follows the one that failed. */
export function publishRetry(
  { name }: Service,
  failed: Attempt,
  { reason, detail }: Outcome,
  number: number,
  delayMs: number,
): void {
  if (!retries.hasSubscribers) return;
  retries.publish({ service: name, address: failed.node.key, attempt: number, delayMs, reason, detail });
}
