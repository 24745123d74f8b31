/**
 * One attempt of a gRPC call: what the picker answers, and what stands between grpc-js and the connection.
 *
 * The node is reserved when it is picked, since a burst of picks comes before the first call is sent. grpc-js then
 * creates the call on the subchannel that it was given; this is one, in front of the real one, and so it sees the
 * attempt's status before grpc-js decides whether to try again, and can end an attempt whose time is up.
 */
import { connectivityState, experimental, type Metadata, status } from "@grpc/grpc-js";
import { publishAttemptEnd, publishAttemptStart } from "../cluster/call-events.ts";
import { attemptDueAt, hadFairChance } from "../cluster/time-up.ts";
import type { Attempt } from "../core/attempt.ts";
import type { Deadline } from "../core/deadlines.ts";
import { attemptStarts } from "../core/events.ts";
import { priorityHeader, retryHeader } from "../core/layers.ts";
import type { Node } from "../core/node.ts";
import { decodeLoadReport, loadReportTrailer } from "../core/orca.ts";
import { failure, ignored, type Outcome, success } from "../core/outcome.ts";
import { outcomeOfEnd } from "./classify.ts";
import type { GrpcCall } from "./grpc-call.ts";
import type { GrpcConnection } from "./grpc-connections.ts";

type Subchannel = experimental.SubchannelInterface;
type RealSubchannel = ReturnType<Subchannel["getRealSubchannel"]>;
type Listener = Parameters<RealSubchannel["createCall"]>[3];
type Sent = ReturnType<RealSubchannel["createCall"]>;

/** A status as subchannels report it. */
export type Status = Parameters<Listener["onReceiveStatus"]>[0];

/** REFUSED_STREAM (RFC 9113, section 7). */
const refusedStream = 7;
/** Of the time for a PING's answer: some of it may have passed before this process was blocked. */
const blockedShare = 0.5;
/** After so many answers without a load report only some are looked at for one. */
const silentCalls = 16;
const lookEvery = 8;
const neverSent = ignored("closing", "the connection went before the call was sent");

export class GrpcAttempt implements Deadline, Listener {
  readonly attempt: Attempt;
  readonly #call: GrpcCall;
  readonly #subchannel: Subchannel;
  readonly #connection: GrpcConnection | undefined;
  #sent: Sent | undefined = undefined;
  #listener: Listener | undefined = undefined;
  /** The answer has begun: from here on nothing is tried again. */
  #isAnswered = false;
  /** It went to the connection, which may have refused it. */
  #isBegun = false;
  /** What it was ended for from this side. */
  #verdict: Outcome | undefined = undefined;
  dueAt = 0;
  heapIndex = -1;

  // What grpc-js reads of the answer of a picker.
  readonly pickResultType: experimental.PickResultType.COMPLETE = experimental.PickResultType.COMPLETE;
  readonly status = null;
  readonly onCallStarted = null;
  readonly onCallEnded = null;

  /** @param connection as it is counted. */
  constructor(
    call: GrpcCall,
    attempt: Attempt,
    subchannel: Subchannel,
    connection: GrpcConnection | undefined,
  ) {
    this.#call = call;
    this.attempt = attempt;
    this.#subchannel = subchannel;
    this.#connection = connection;
    attempt.isTimed = !call.definition.isStream;
  }

  get node(): Node {
    return this.attempt.node;
  }

  get isSent(): boolean {
    return this.#sent !== undefined;
  }

  get isOver(): boolean {
    return this.attempt.ended;
  }

  /** Whether the caller can be kept from noticing that it failed. */
  get mayEndLater(): boolean {
    return !this.#isAnswered;
  }

  // What grpc-js asks of the subchannel that it was given.

  get subchannel(): Subchannel {
    return this as unknown as Subchannel;
  }

  /** grpc-js asks before it sends the call. To a connection that is gone it sends none, and picks again. */
  getConnectivityState(): connectivityState {
    const state = this.#subchannel.getConnectivityState();
    if (state !== connectivityState.READY) this.abandon();
    return state;
  }

  getCallCredentials(): ReturnType<Subchannel["getCallCredentials"]> {
    return this.#subchannel.getCallCredentials();
  }

  getChannelzRef(): ReturnType<Subchannel["getChannelzRef"]> {
    return this.#subchannel.getChannelzRef();
  }

  getAddress(): string {
    return this.#subchannel.getAddress();
  }

  getRealSubchannel(): this {
    return this;
  }

  createCall(metadata: Metadata, host: string, method: string, listener: Listener, callId?: number): Sent {
    this.#listener = listener;
    this.#isBegun = true;
    if (this.#call.priority !== "default") metadata.set(priorityHeader, this.#call.priority);
    if (attemptStarts.hasSubscribers) {
      const addHeader = (name: string, value: string) => metadata.set(name, value);
      publishAttemptStart(this.#call.cluster, this.#call, this.attempt, addHeader);
    }
    this.#connection?.callBegan();
    const sent = this.#subchannel.getRealSubchannel().createCall(metadata, host, method, this, callId);
    this.#sent = sent;
    const { service, definition, endsAt, rules } = this.#call;
    // Since it was picked a credentials plugin may have taken its time.
    const now = service.cluster.clock.now();
    this.attempt.sent(now);
    if (definition.isStream) service.streams.add(this);
    else {
      this.dueAt = Math.min(endsAt, now + rules.attemptMs);
      service.deadlines.add(this);
    }
    return sent;
  }

  // What the connection reports.

  onReceiveMetadata(metadata: Metadata): void {
    this.#isAnswered = true;
    const { definition, cluster } = this.#call;
    // How a unary call went is known at its end, which comes with it; a stream's may be hours away.
    if (definition.isStream && !this.isOver) {
      const now = cluster.clock.now();
      cluster.answered(this.attempt, true, now);
      this.#call.answered(now);
    }
    this.#listener?.onReceiveMetadata(metadata);
  }

  // biome-ignore lint/suspicious/noExplicitAny: as grpc-js declares it
  onReceiveMessage(message: any): void {
    this.#listener?.onReceiveMessage(message);
  }

  onReceiveStatus(ended: Status): void {
    this.#listener?.onReceiveStatus(this.isOver ? ended : this.#settle(ended));
  }

  // What the call and the service say.

  /** It was picked, and will not be sent. */
  abandon(): void {
    if (!this.isOver) this.#end(neverSent);
  }

  /** The whole call is over; an attempt that has not ended yet goes with it. */
  callEnded(code: number, details: string): void {
    if (this.isOver) return;
    if (this.#sent === undefined) {
      this.#end(neverSent);
      return;
    }
    // It was not for what the node said, then: a message of the caller's was too large, say, or another attempt failed.
    const isNodes = code === status.DEADLINE_EXCEEDED || code === status.CANCELLED;
    this.#end(this.#verdict ?? (isNodes ? this.#outcomeOf(code, details, false) : ignored("call", details)));
  }

  /** Ends it from this side; the caller's call fails, or goes on elsewhere. */
  cut(code: status, details: string, outcome: Outcome): void {
    this.#verdict = outcome;
    this.#sent?.cancelWithStatus(code, details);
  }

  expire(now: number): void {
    if (this.isOver) return;
    const { endsAt, cluster, rules } = this.#call;
    const { attemptMs, totalMs } = rules;
    const { name } = cluster;
    if (now >= endsAt) {
      const details = `${name}: no answer within ${totalMs} ms, the last attempt at ${this.node.key}`;
      this.cut(status.DEADLINE_EXCEEDED, details, this.#outcomeOf(status.DEADLINE_EXCEEDED, "", false));
      return;
    }
    const dueAt = attemptDueAt(this.attempt.waitedMs(now, cluster.lag.blockedMs(now)), attemptMs, now);
    if (dueAt > now) {
      this.dueAt = Math.min(endsAt, dueAt);
      this.#call.service.deadlines.add(this);
      return;
    }
    const within = `no answer within ${attemptMs} ms`;
    const details = `${name}: ${this.node.key} gave ${within}`;
    this.#call.timedOut = details;
    this.cut(status.UNAVAILABLE, details, failure("timeout", within));
  }

  /** Another attempt of the call was answered first: how grpc-js tells of it. */
  #isOvertaken({ code, details }: Status): boolean {
    return code === status.CANCELLED && details.startsWith("Discarded in favor of");
  }

  /** Ends the attempt, and gives the status as grpc-js is to see it. */
  #settle(ended: Status): Status {
    const isRefused = ended.rstCode === refusedStream;
    let outcome = this.#verdict ?? this.#outcomeOf(ended.code, ended.details, isRefused);
    // A lower layer has tried to make it good: the node did its work.
    if (outcome.kind === "failure" && ended.metadata.get(retryHeader)[0] === "no") {
      outcome = failure("dependency", outcome.detail);
    }
    if (this.#isOvertaken(ended)) this.#call.cluster.overtaken(this.attempt, this.#call.cluster.clock.now());
    const now = this.#end(outcome);
    if (ended.code === status.OK) this.#noteLoad(ended.metadata, now);
    if (ended.code === status.OK || this.#isAnswered) return ended;
    if (ended.code !== status.UNAVAILABLE && !isRefused) return ended;
    return this.#call.direct(this, outcome, ended, isRefused, now);
  }

  #outcomeOf(code: number, details: string, isRefused: boolean): Outcome {
    if (code === status.OK) return success;
    let hadItsChance = false;
    if (code === status.DEADLINE_EXCEEDED && !this.#isAnswered) {
      const { cluster, startedAt } = this.#call;
      const now = cluster.clock.now();
      const waitedMs = this.attempt.waitedMs(now, cluster.lag.blockedMs(now));
      // Of an inherited deadline little may have been left, or nothing: less than any answer takes tells nothing of the node.
      hadItsChance = hadFairChance(waitedMs, now - startedAt, cluster.floorMs(now));
    }
    const isClosing = this.#subchannel.getConnectivityState() !== connectivityState.READY;
    const wasBlocked = code === status.UNAVAILABLE && this.#wasBlocked();
    return outcomeOfEnd({ code, details, isRefused, isClosing, hadItsChance, wasBlocked });
  }

  /**
   * The time that grpc-js gives the answer to a PING goes on while this process is blocked, and is over before what has
   * come is read. What a stream saw of that may be hours ago.
   */
  #wasBlocked(): boolean {
    const { attempt } = this;
    const { clock, lag, options } = this.#call.cluster;
    const blockedMs = lag.blockedMs(clock.now()) - attempt.blockedAtStart;
    return attempt.isTimed && blockedMs >= blockedShare * options.connections.pingTimeoutMs;
  }

  #end(outcome: Outcome): number {
    const { cluster, service, definition } = this.#call;
    const { attempt } = this;
    const now = cluster.clock.now();
    if (definition.isStream) service.streams.delete(this);
    else {
      service.deadlines.remove(this);
      if (outcome.kind === "success") cluster.answered(attempt, true, now);
    }
    cluster.settle(attempt, outcome, now);
    if (this.#isBegun) {
      this.#connection?.callEnded();
      publishAttemptEnd(cluster, this.#call, attempt, outcome);
    }
    return now;
  }

  /** What the node says of its load, with a good answer. */
  #noteLoad(trailers: Metadata, now: number): void {
    const { node } = this;
    // To look for a trailer costs a tenth of all that is done here for a call: nodes that say nothing are asked seldom.
    if (node.report === undefined && node.calls > silentCalls && node.calls % lookEvery !== 0) return;
    const [written] = trailers.get(loadReportTrailer);
    if (written === undefined && node.report === undefined) return;
    node.reported(Buffer.isBuffer(written) ? decodeLoadReport(written) : undefined, now);
  }
}
