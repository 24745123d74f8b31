/**
 * All that is kept of one call while it lasts.
 *
 * `Call` is several classes one upon the other, and what each of them keeps stands here: a class that adds fields costs
 * each call some 10 ns more, one that adds methods costs nothing. (`#` methods count as a field, by which V8 knows whose
 * they are; the classes upon this one have private methods instead.)
 */
import type { AsyncResource } from "node:async_hooks";
import type { Attempt } from "../core/attempt.ts";
import type { Deadline, Lane } from "../core/deadlines.ts";
import type { AdmissionPass } from "./admission-pass.ts";
import type { CallRecord } from "./call-record.ts";
import type { CallRules } from "./call-rules.ts";
import type { Cluster } from "./cluster.ts";
import type { InheritedContext } from "./inherited-context.ts";

export type Phase =
  /** Waiting for a place among the calls that may be under way, or for a rate limit that is shared. */
  | "admission"
  /** Waiting for discovery's first answer. */
  | "discovery"
  /** An attempt is under way, up to its final headers; or two, when it is hedged. */
  | "attempt"
  /** Waiting before the next attempt. */
  | "backoff"
  /** The caller has headers; nothing can be tried again. */
  | "body"
  | "over";

export abstract class CallState {
  readonly method: string;
  readonly path: string;
  readonly rules: CallRules;
  protected readonly cluster: Cluster;
  protected readonly isIdempotent: boolean;
  protected phase: Phase = "over";

  // As an entry of the cluster's deadlines.
  dueAt = 0;
  lane: Lane | undefined = undefined;
  earlier: Deadline | undefined = undefined;
  later: Deadline | undefined = undefined;

  protected startedAt = 0;
  /** When the call must be over; `Infinity` for never. */
  endsAt: number = Number.POSITIVE_INFINITY;
  /** When it is sent to a second node. */
  protected hedgeAt: number = Number.POSITIVE_INFINITY;
  /** When the caller was given headers; 0 before. */
  protected answeredAt = 0;
  /** The answer has no natural end. */
  protected isEndless = false;
  /** The longest wait between two pieces of the body. */
  protected bodyIdleMs: number = Number.POSITIVE_INFINITY;
  /** When the latest piece of the body came. */
  protected heardAt = 0;

  /** The attempt under way, or of two the one that began first; from the headers on the one that was answered. */
  protected attempt: Attempt | undefined = undefined;
  /** The hedge, while both are under way. */
  protected rival: Attempt | undefined = undefined;
  /** How many were made. */
  protected attemptCount = 0;
  /** Headers that listeners gave the present attempt: names and values in turn. Transports send them with it. */
  protected addedHeaders: string[] | undefined = undefined;

  // What only some calls have.

  /** Once an attempt has failed or was hedged. */
  protected record: CallRecord | undefined = undefined;
  /** Where the service has limits or a breaker. */
  protected pass: AdmissionPass | undefined = undefined;
  /** Of the caller, when the call was kept. */
  protected resource: AsyncResource | undefined = undefined;
  /** Within a handler's context. */
  protected inherited: InheritedContext | undefined = undefined;

  /**
   * @param idempotent whether the call may run twice.
   * @param rules shared by many calls; one object for each would be garbage at once.
   */
  constructor(cluster: Cluster, method: string, path: string, idempotent: boolean, rules: CallRules) {
    this.cluster = cluster;
    this.method = method;
    this.path = path;
    this.rules = rules;
    this.isIdempotent = idempotent;
  }
}
