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
import { Attempt } from "../core/attempt.ts";
import type { Deadline, Lane } from "../core/deadlines.ts";
import { attemptStarts } from "../core/events.ts";
import { priorityHeader, retryHeader } from "../core/layers.ts";
import type { Node } from "../core/node.ts";
import { decodeLoadReport, loadReportTrailer } from "../core/orca.ts";
import { failure, ignored, type Outcome, success } from "../core/outcome.ts";
import { type AwaitedCredentials, credentialsFor } from "./awaited-credentials.ts";
import { calm, outcomeOfEnd } from "./classify.ts";
import { tellDeadline } from "./deadline-metadata.ts";
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
const complete: experimental.PickResultType.COMPLETE = experimental.PickResultType.COMPLETE;
const neverSent = ignored("unsent", "the call ended, or its connection went, before it was sent");

/** One object for each attempt, whoever looks at it: it is needed again only after thousands of others, out of all caches. */
export class GrpcAttempt extends Attempt implements Deadline, Listener {
  // First what is needed when the answer comes, next to one another.
  /**
   * grpc-js' own, which has the caller. Undefined until the attempt went to the connection, which may have refused it, and
   * again after its status.
   */
  private listener: Listener | undefined = undefined;
  /** The answer has begun: from here on nothing is tried again. */
  private isAnswered = false;
  /** What it was ended for from this side. */
  private verdict: Outcome | undefined = undefined;
  lane: Lane | undefined = undefined;
  earlier: Deadline | undefined = undefined;
  later: Deadline | undefined = undefined;
  readonly call: GrpcCall;
  private readonly connection: GrpcConnection | undefined;
  private readonly connected: Subchannel;
  private sending: Sent | undefined = undefined;
  private awaited: AwaitedCredentials | undefined = undefined;
  dueAt = 0;

  /** @param connection as it is counted. */
  constructor(
    call: GrpcCall,
    node: Node,
    number: number,
    now: number,
    subchannel: Subchannel,
    connection: GrpcConnection | undefined,
  ) {
    super(node, number, now, call.cluster.lag.blockedMs(now));
    this.call = call;
    this.connected = subchannel;
    this.connection = connection;
    this.isTimed = !call.definition.isStream;
    call.cluster.begun(this);
  }

  get isSent(): boolean {
    return this.sending !== undefined;
  }

  /** Whether the caller can be kept from noticing that it failed. */
  get mayEndLater(): boolean {
    return !this.isAnswered;
  }

  // What grpc-js reads of the answer of a picker.

  get pickResultType(): experimental.PickResultType.COMPLETE {
    return complete;
  }

  get status(): null {
    return null;
  }

  get onCallStarted(): null {
    return null;
  }

  get onCallEnded(): null {
    return null;
  }

  // What grpc-js asks of the subchannel that it was given.

  get subchannel(): Subchannel {
    return this as unknown as Subchannel;
  }

  /** grpc-js asks before it sends the call. To a connection that is gone it sends none, and picks again. */
  getConnectivityState(): connectivityState {
    const state = this.connected.getConnectivityState();
    if (state !== connectivityState.READY) this.abandon();
    return state;
  }

  getCallCredentials(): ReturnType<Subchannel["getCallCredentials"]> {
    return credentialsFor(this, this.connected.getCallCredentials());
  }

  getChannelzRef(): ReturnType<Subchannel["getChannelzRef"]> {
    return this.connected.getChannelzRef();
  }

  getAddress(): string {
    return this.connected.getAddress();
  }

  getRealSubchannel(): this {
    return this;
  }

  createCall(metadata: Metadata, host: string, method: string, listener: Listener, callId?: number): Sent {
    this.listener = listener;
    if (this.call.priority !== "default") metadata.set(priorityHeader, this.call.priority);
    const { deadlineHeader } = this.call.cluster.options;
    if (deadlineHeader !== undefined) tellDeadline(metadata, deadlineHeader, this.ownLeftMs());
    if (attemptStarts.hasSubscribers) {
      const addHeader = (name: string, value: string) => metadata.set(name, value);
      publishAttemptStart(this.call.cluster, this.call, this, addHeader);
    }
    this.connection?.callBegan();
    const told = this.isTimed ? this : new StreamListener(this);
    let sent: Sent;
    try {
      sent = this.connected.getRealSubchannel().createCall(metadata, host, method, told, callId);
    } catch (error) {
      // The connection is gone and has not said so yet; grpc-js picks again.
      this.abandon();
      throw error;
    }
    this.sending = sent;
    const { service, endsAt, rules } = this.call;
    // Since it was picked a credentials plugin may have taken its time.
    const now = service.cluster.clock.now();
    this.sent(now);
    if (this.isTimed) {
      service.deadlines.remove(this);
      this.dueAt = Math.min(endsAt, now + rules.attemptMs);
      service.deadlines.add(this);
    } else service.streams.add(this);
    return sent;
  }

  /** Of `totalMs`. What nobody told of may be a stream, which a server must not end for our time. */
  private ownLeftMs(): number {
    const { cluster, definition, endsAt } = this.call;
    return definition.isKnown ? endsAt - cluster.clock.now() : Number.POSITIVE_INFINITY;
  }

  // What the connection reports.

  onReceiveMetadata(metadata: Metadata): void {
    this.isAnswered = true;
    this.listener?.onReceiveMetadata(metadata);
  }

  // biome-ignore lint/suspicious/noExplicitAny: as grpc-js declares it
  onReceiveMessage(message: any): void {
    this.listener?.onReceiveMessage(message);
  }

  /**
   * Nothing comes after it, and the caller is let go of. Node holds an HTTP/2 stream, with all that listens to it, until the
   * next full garbage collection, however short it was: it would hold all that grpc-js made for the call, and the program's
   * own message and callback.
   */
  onReceiveStatus(ended: Status): void {
    const { listener } = this;
    const shown = this.ended ? ended : this.settled(ended);
    this.listener = undefined;
    listener?.onReceiveStatus(shown);
  }

  /** How a unary call went is known at its end, which comes with its answer; a stream's may be hours away. */
  streamAnswered(): void {
    this.isAnswered = true;
    if (this.ended) return;
    const { cluster } = this.call;
    const now = cluster.clock.now();
    cluster.answered(this, true, now);
    this.call.answered(now);
  }

  /** A method that nobody told of, whose answer goes on for longer than unary ones do. */
  private turnedOutStream(): void {
    this.isTimed = false;
    this.call.service.streams.add(this);
    this.streamAnswered();
  }

  // What the call and the service say.

  /** It is sent when its call has these. */
  awaits(credentials: AwaitedCredentials): void {
    this.awaited = credentials;
    if (!this.isTimed) return;
    this.dueAt = this.call.endsAt;
    this.call.service.deadlines.add(this);
  }

  /** It was picked, and will not be sent. */
  abandon(): void {
    if (!this.ended) this.conclude(neverSent);
  }

  /** The whole call is over; an attempt that has not ended yet goes with it. */
  callEnded(code: number, details: string): void {
    if (this.ended) return;
    if (this.sending === undefined) {
      this.conclude(neverSent);
      return;
    }
    // It was not for what the node said, then: a message of the caller's was too large, say, or another attempt failed.
    const isNodes = code === status.DEADLINE_EXCEEDED || code === status.CANCELLED;
    this.conclude(
      this.verdict ?? (isNodes ? this.outcomeOf(code, details, false) : ignored("call", details)),
    );
  }

  /** Ends it from this side; the caller's call fails, or goes on elsewhere. */
  cut(code: status, details: string, outcome: Outcome): void {
    this.verdict = outcome;
    this.sending?.cancelWithStatus(code, details);
  }

  expire(now: number): void {
    if (this.ended) return;
    const { definition, endsAt, cluster, rules } = this.call;
    if (this.isAnswered && !definition.isKnown) {
      this.turnedOutStream();
      return;
    }
    const { attemptMs, totalMs } = rules;
    const { name } = cluster;
    if (!this.isSent) {
      const details = `${name}: no call credentials within ${totalMs} ms`;
      this.awaited?.giveUp(status.DEADLINE_EXCEEDED, details);
      return;
    }
    if (now >= endsAt) {
      const details = `${name}: no answer within ${totalMs} ms, the last attempt at ${this.node.key}`;
      this.cut(status.DEADLINE_EXCEEDED, details, this.outcomeOf(status.DEADLINE_EXCEEDED, "", false));
      return;
    }
    const dueAt = attemptDueAt(this.waitedMs(now, cluster.lag.blockedMs(now)), attemptMs, now);
    if (dueAt > now) {
      this.dueAt = Math.min(endsAt, dueAt);
      this.call.service.deadlines.add(this);
      return;
    }
    const within = `no answer within ${attemptMs} ms`;
    const details = `${name}: ${this.node.key} gave ${within}`;
    this.call.attemptTimedOut(details);
    this.cut(status.UNAVAILABLE, details, failure("timeout", within));
  }

  /** Another attempt of the call was answered first: how grpc-js tells of it. */
  private isOvertaken({ code, details }: Status): boolean {
    return code === status.CANCELLED && details.startsWith("Discarded in favor of");
  }

  /** Ends the attempt, and gives the status as grpc-js is to see it. */
  private settled(ended: Status): Status {
    if (ended.code === status.OK && this.verdict === undefined) {
      this.noteLoad(ended.metadata, this.conclude(success));
      return ended;
    }
    const isRefused = ended.rstCode === refusedStream;
    let outcome = this.verdict ?? this.outcomeOf(ended.code, ended.details, isRefused);
    // A lower layer has tried to make it good: the node did its work.
    if (outcome.kind === "failure" && ended.metadata.get(retryHeader)[0] === "no") {
      outcome = failure("dependency", outcome.detail);
    }
    if (this.isOvertaken(ended)) this.call.cluster.overtaken(this, this.call.cluster.clock.now());
    const now = this.conclude(outcome);
    const shown = outcome === calm ? this.calmed(ended) : ended;
    if (shown.code === status.OK || this.isAnswered) return shown;
    if (shown.code !== status.UNAVAILABLE && !isRefused) return shown;
    return this.call.direct(this, outcome, shown, isRefused, now);
  }

  /** A lost connection, which grpc-js takes for the stream's own end. grpc-go gives this code, and a retry may make it good. */
  private calmed({ metadata }: Status): Status {
    const details = `${this.call.cluster.name}: ${this.node.key} ended the connection with ENHANCE_YOUR_CALM, for our PINGs as a rule`;
    return { code: status.UNAVAILABLE, details, metadata };
  }

  private outcomeOf(code: number, details: string, isRefused: boolean): Outcome {
    if (code === status.OK) return success;
    let hadItsChance = false;
    if (code === status.DEADLINE_EXCEEDED && !this.isAnswered) {
      const { cluster, startedAt } = this.call;
      const now = cluster.clock.now();
      const waitedMs = this.waitedMs(now, cluster.lag.blockedMs(now));
      // Of an inherited deadline little may have been left, or nothing: less than any answer takes tells nothing of the node.
      hadItsChance = hadFairChance(waitedMs, now - startedAt, cluster.floorMs(now));
    }
    const isClosing = this.connected.getConnectivityState() !== connectivityState.READY;
    const wasBlocked = code === status.UNAVAILABLE && this.wasBlocked();
    return outcomeOfEnd({ code, details, isRefused, isClosing, hadItsChance, wasBlocked });
  }

  /**
   * The time that grpc-js gives the answer to a PING goes on while this process is blocked, and is over before what has
   * come is read. What a stream saw of that may be hours ago.
   */
  private wasBlocked(): boolean {
    const { clock, lag, options } = this.call.cluster;
    const blockedMs = lag.blockedMs(clock.now()) - this.blockedAtStart;
    return this.isTimed && blockedMs >= blockedShare * options.connections.pingTimeoutMs;
  }

  private conclude(outcome: Outcome): number {
    const { cluster, service } = this.call;
    const now = cluster.clock.now();
    if (this.isTimed) service.deadlines.remove(this);
    else service.streams.delete(this);
    if (this.isTimed && outcome === success) cluster.succeeded(this, now);
    else cluster.settle(this, outcome, now);
    if (this.listener !== undefined) {
      this.connection?.callEnded();
      publishAttemptEnd(cluster, this.call, this, outcome);
    }
    return now;
  }

  /** What the node says of its load, with a good answer. */
  private noteLoad(trailers: Metadata, now: number): void {
    const { node } = this;
    // To look for a trailer costs a tenth of all that is done here for a call: nodes that say nothing are asked seldom.
    if (node.report === undefined && node.calls > silentCalls && node.calls % lookEvery !== 0) return;
    const [written] = trailers.get(loadReportTrailer);
    if (written === undefined && node.report === undefined) return;
    node.reported(Buffer.isBuffer(written) ? decodeLoadReport(written) : undefined, now);
  }
}

/** What comes of a stream. */
class StreamListener implements Listener {
  readonly #attempt: GrpcAttempt;

  constructor(attempt: GrpcAttempt) {
    this.#attempt = attempt;
  }

  onReceiveMetadata(metadata: Metadata): void {
    this.#attempt.streamAnswered();
    this.#attempt.onReceiveMetadata(metadata);
  }

  // biome-ignore lint/suspicious/noExplicitAny: as grpc-js declares it
  onReceiveMessage(message: any): void {
    this.#attempt.onReceiveMessage(message);
  }

  onReceiveStatus(ended: Status): void {
    this.#attempt.onReceiveStatus(ended);
  }
}
