/**
 * One gRPC call, as far as balancing goes: what of it the picker may know, where it has been, and whether it is tried
 * again.
 *
 * grpc-js makes the attempts. It asks the `ConfigSelector` once for each call and then hands the same pickInformation
 * to the picker for each attempt, and the same filters see the end of the whole: this one object is all of these, since
 * a call must cost little. It ends exactly once, whatever becomes of its attempts.
 */
import { type experimental, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { publishCallEnd, publishCallStart, publishRetry } from "../cluster/call-events.ts";
import type { CallRules } from "../cluster/call-rules.ts";
import type { Cluster } from "../cluster/cluster.ts";
import type { TrialCall } from "../cluster/trials.ts";
import type { CallPriority } from "../core/contracts.ts";
import { callEnds } from "../core/events.ts";
import type { Node } from "../core/node.ts";
import { failure, ignored, type Outcome } from "../core/outcome.ts";
import { retryDelayMs } from "../resilience/retry.ts";
import { CallRepeats } from "./call-repeats.ts";
import { outcomeOfEnd } from "./classify.ts";
import { Gate } from "./gate.ts";
import { GrpcAttempt, type Status } from "./grpc-attempt.ts";
import { isGrpcPolicy } from "./grpc-policy.ts";
import type { GrpcRules } from "./grpc-rules.ts";
import type { GrpcService } from "./grpc-service.ts";
import type { Leaf } from "./leaf.ts";
import type { MethodConfig } from "./method-config.ts";
import type { Method } from "./methods.ts";

const noNodes: readonly Node[] = Object.freeze([]);
const noNode = failure("connect", "no node");
/** The end of a whole call has none of what can befall an attempt. */
const ofWhole = { isRefused: false, isClosing: false, hadItsChance: true, wasBlocked: false } as const;
/** How a status tells grpc-js when to try again; negative for never (gRFC A6). */
const pushback = "grpc-retry-pushback-ms";

type Filter = experimental.Filter;
type Ended = ReturnType<Filter["receiveTrailers"]>;

export class GrpcCall implements TrialCall, Filter, experimental.FilterFactory<Filter> {
  readonly service: GrpcService;
  readonly rules: CallRules;
  readonly definition: Method;
  readonly startedAt: number;
  /** Until when it must be over, on the cluster's clock; `Infinity` for a stream. */
  readonly endsAt: number;
  readonly priority: CallPriority;
  /** The caller's own methodConfig decides about retries. */
  readonly isConfigured: boolean;
  readonly #metadata: Metadata;
  #attempts = 0;
  #latest: GrpcAttempt | undefined = undefined;
  #repeats: CallRepeats | undefined = undefined;
  #isOver = false;
  #isCommitted = false;
  /** Since it started: at the gate, or for a node. */
  #mayHaveWaited: boolean;
  readonly #gate: Gate | undefined;

  // What grpc-js reads of the answer of a ConfigSelector.
  readonly methodConfig: MethodConfig;

  /**
   * @param grpcRules those of the service, or of a view.
   * @param methodConfig the caller's own, which then decides about retries; undefined for ours.
   * @param inherited the priority of the call whose handler makes this one.
   */
  constructor(
    grpcRules: GrpcRules,
    method: Method,
    metadata: Metadata,
    methodConfig: MethodConfig | undefined,
    inherited: CallPriority | undefined,
  ) {
    const { service, rules } = grpcRules;
    const { cluster } = service;
    const now = cluster.clock.now();
    this.service = service;
    this.rules = rules;
    this.definition = method;
    this.startedAt = now;
    this.endsAt = method.isStream ? Number.POSITIVE_INFINITY : now + rules.totalMs;
    this.priority = rules.priority === "default" ? (inherited ?? rules.priority) : rules.priority;
    this.#metadata = metadata;
    this.methodConfig = methodConfig ?? grpcRules.configOf(method, now);
    this.isConfigured = methodConfig !== undefined;
    service.callStarted();
    cluster.callStarted();
    this.#gate = cluster.admission && new Gate(this, cluster.admission);
    this.#mayHaveWaited = this.#gate !== undefined;
    if (this.#gate === undefined) cluster.callAdmitted(now);
    publishCallStart(cluster, this);
  }

  get status(): status.OK {
    return status.OK;
  }

  get dynamicFilterFactories(): experimental.FilterFactory<Filter>[] {
    return [this];
  }

  /** It is not sent again: the answer has begun, or there is more to send than grpc-js keeps for that. */
  onCommitted(): void {
    this.#isCommitted = true;
  }

  /** What the picker is given: the call itself. Their types know texts only. */
  get pickInformation(): { [key: string]: string } {
    return this as unknown as { [key: string]: string };
  }

  // What policies and trials ask.

  get method(): string {
    return "POST";
  }

  get path(): string {
    return this.definition.path;
  }

  get hashKey(): string | undefined {
    return this.rules.hashKey;
  }

  get tried(): readonly Node[] {
    return this.#repeats?.tried ?? noNodes;
  }

  get canRetry(): boolean {
    const { cluster } = this;
    return (
      this.definition.mayRepeat &&
      this.#attempts + 1 < this.rules.retry.attempts &&
      cluster.hasRetryLeft(cluster.clock.now())
    );
  }

  /** By its definition, or as it turned out. */
  get isStream(): boolean {
    return this.definition.isStream || this.#latest?.isTimed === false;
  }

  header(name: string): string | undefined {
    const [value] = this.#metadata.get(name);
    return value === undefined ? undefined : String(value);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get cluster(): Cluster {
    return this.service.cluster;
  }

  // What the picker does.

  /**
   * When a pick is made, which is an attempt's start. To read the clock is dear, and the first pick comes in the same tick as
   * the call, which has just read it, unless the call waits for something.
   *
   * @param isAtOnce calls of the channel do not have to wait for connections.
   */
  pickedAt(isAtOnce: boolean): number {
    const { clock, nodeSet } = this.cluster;
    const isFirst = !this.#mayHaveWaited && isAtOnce;
    this.#mayHaveWaited = true;
    return isFirst ? Math.max(this.startedAt, nodeSet.asOf) : clock.now();
  }

  /** Another attempt is wanted: it avoids the nodes of those before it, which may be running still. */
  repick(): void {
    const latest = this.#latest;
    if (latest === undefined) return;
    this.#latest = undefined;
    const repeats = this.#repeated;
    // An attempt that was picked and then not sent, as its connection had just gone, is told of by nobody. A hedge comes while
    // the first one may still wait to be sent.
    if (!latest.isSent && (latest.ended || this.methodConfig.hedgingPolicy === undefined)) {
      latest.abandon();
      this.#attempts--;
      repeats.isGranted = this.#attempts > 0;
    }
    repeats.tried ??= [];
    if (!repeats.tried.includes(latest.node)) repeats.tried.push(latest.node);
    if (latest.ended) return;
    repeats.others ??= [];
    repeats.others.push(latest);
  }

  /**
   * Whether the hedge that is asked for may be made, or what takes the place of an attempt that failed early.
   *
   * @param reachable how many nodes there are for it: a second attempt beside one on the same node is of no use.
   */
  affords(now: number, reachable: number): boolean {
    if (this.isConfigured || this.methodConfig.hedgingPolicy === undefined || this.#attempts === 0)
      return true;
    const repeats = this.#repeated;
    // It was, and then had to wait for a node.
    if (repeats.isGranted) return true;
    if (!repeats.isUnderWay && repeats.wasPassedOver) {
      repeats.isGranted = true;
      return true;
    }
    const { cluster } = this;
    if (repeats.isUnderWay) repeats.isGranted = this.tried.length < reachable && cluster.withdrawHedge(now);
    else repeats.isGranted = cluster.withdrawRetry(now);
    if (repeats.isGranted) repeats.extras++;
    return repeats.isGranted;
  }

  /** How the last attempt of a hedged call failed that no other one stands in for yet. */
  get failed(): Status | undefined {
    return this.#repeats?.isUnderWay === true ? undefined : this.#repeats?.failed;
  }

  /** When all have been tried, any will do, but for a hedge of ours. False if none was left out. */
  forgetTried(): boolean {
    const repeats = this.#repeats;
    if (repeats?.tried === undefined || (repeats.isGranted && repeats.isUnderWay)) return false;
    repeats.tried = undefined;
    return true;
  }

  /** There is no node: says in the metadata of that status whether and when grpc-js picks again, as with attempts that failed. */
  missed(now: number): Metadata {
    const metadata = new Metadata();
    // One with `waitForReady` does not end by this.
    const isOther = this.isConfigured || this.methodConfig.hedgingPolicy !== undefined;
    if (isOther || this.#metadata.getOptions().waitForReady === true) return metadata;
    const repeats = this.#repeated;
    repeats.misses++;
    const { cluster, rules } = this;
    const delayMs = retryDelayMs(
      {
        outcome: noNode,
        number: this.#attempts - repeats.passedOver + repeats.misses,
        unsent: false,
        repeatable: true,
        retryAfterMs: 0,
        remainingMs: this.endsAt - now,
      },
      rules.retry,
      cluster.options.random,
    );
    metadata.set(pushback, delayMs === undefined ? "-1" : String(Math.round(delayMs)));
    repeats.addedPushback = true;
    return metadata;
  }

  /** @param subchannel of the leaf, which has one. */
  attemptOn(
    { node, connection }: Leaf,
    subchannel: experimental.SubchannelInterface,
    now: number,
  ): GrpcAttempt {
    const attempt = new GrpcAttempt(this, node, ++this.#attempts, now, subchannel, connection);
    const repeats = this.#repeats;
    if (repeats !== undefined) {
      attempt.isHedge = repeats.isUnderWay;
      repeats.isGranted = false;
    }
    this.#latest = attempt;
    return attempt;
  }

  get #repeated(): CallRepeats {
    this.#repeats ??= new CallRepeats();
    return this.#repeats;
  }

  // What an attempt asks.

  /** Its time was up, and it ends with this text. */
  attemptTimedOut(details: string): void {
    this.#repeated.timedOut = details;
  }

  /**
   * How grpc-js is told that the credentials of an attempt could not be made. UNAVAILABLE, which a service of tokens may give,
   * it would take for the node's: it would try twice as often as `retry.attempts` says, a second apart, calls of any method.
   */
  credentialsFailed(error: unknown): unknown {
    const failed = error as Partial<ServiceError> | null;
    // As it is, it does not end what runs beside it.
    const isBeside = this.methodConfig.hedgingPolicy !== undefined && this.#attempts > 1;
    if (this.isConfigured || isBeside || failed?.code !== status.UNAVAILABLE) return error;
    this.#repeated.lacksCredentials = true;
    return Object.assign(new Error(failed.message), { code: status.UNAUTHENTICATED });
  }

  /** Says in the status of a failed attempt whether and when grpc-js tries again. */
  direct(failed: GrpcAttempt, outcome: Outcome, ended: Status, isUnprocessed: boolean, now: number): Status {
    if (this.isConfigured || this.#isCommitted) return ended;
    const repeats = this.#repeated;
    // What met a connection that was just closing has cost no node anything, as in grpc-js' own transparent retries.
    const isFree = isUnprocessed && outcome.reason === "closing";
    if (this.methodConfig.hedgingPolicy !== undefined) {
      repeats.failed = ended;
      repeats.wasPassedOver = isFree;
      // A lower layer has tried already. What runs beside it goes on.
      if (outcome.reason === "dependency" && !repeats.isUnderWay && this.#latest?.ended !== false) {
        this.#push(ended, "-1");
      }
      return ended;
    }
    const { cluster } = this;
    const asked = Number(ended.metadata.get(pushback)[0] ?? 0);
    const { number } = failed;
    const { retry } = this.rules;
    const delayMs =
      asked >= 0 && outcome.reason !== "dependency"
        ? retryDelayMs(
            {
              outcome,
              number: number - repeats.passedOver + repeats.misses,
              unsent: isUnprocessed,
              repeatable: this.definition.mayRepeat && failed.mayEndLater,
              retryAfterMs: asked,
              remainingMs: this.endsAt - now,
            },
            retry,
            cluster.options.random,
          )
        : undefined;
    const isDenied = delayMs === undefined || (!isFree && !cluster.withdrawRetry(now));
    if (!isDenied && !isFree) repeats.extras++;
    if (isFree && repeats.passedOver < retry.attempts) repeats.passedOver++;
    this.#push(ended, isDenied ? "-1" : String(Math.round(delayMs)));
    // Without its code, grpc-js does not know that it could send the call again by itself.
    if (isDenied) return { code: ended.code, details: ended.details, metadata: ended.metadata };
    publishRetry(cluster, failed, outcome, number + 1, delayMs);
    return ended;
  }

  #push({ metadata }: Status, delay: string): void {
    metadata.set(pushback, delay);
    this.#repeated.addedPushback = true;
  }

  /** The answer of a stream has begun. */
  answered(now: number): void {
    this.#gate?.answered(now);
  }

  // A filter that changes nothing: it may keep a call back, and learns of its end.

  createFilter(): Filter {
    return this;
  }

  sendMetadata(metadata: Promise<Metadata>): Promise<Metadata> {
    return this.#gate === undefined ? metadata : this.#gate.enter(metadata);
  }

  receiveMetadata(metadata: Metadata): Metadata {
    return metadata;
  }

  sendMessage<Message>(message: Promise<Message>): Promise<Message> {
    return message;
  }

  receiveMessage(message: Promise<Buffer>): Promise<Buffer> {
    return message;
  }

  receiveTrailers(ended: Ended): Ended {
    const repeats = this.#repeats;
    if (repeats?.addedPushback === true) ended.metadata.remove(pushback);
    const shown = repeats === undefined ? ended : shownOf(ended, repeats);
    this.#end(shown);
    return shown;
  }

  #end({ code, details }: { readonly code: number; readonly details: string }): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const isOwnFault = this.#isOwnFault(code);
    this.#latest?.callEnded(code, details);
    const { cluster } = this;
    if (this.#repeats !== undefined) {
      const { others = [], extras } = this.#repeats;
      for (const attempt of others) attempt.callEnded(code, details);
      cluster.extraEnded(extras);
    }
    if (this.#gate !== undefined) {
      this.#gate.left(this.#outcomeOf(code, details, isOwnFault), cluster.clock.now());
    }
    cluster.callEnded();
    this.service.callEnded();
    if (callEnds.hasSubscribers) {
      const { kind, reason } = this.#outcomeOf(code, details, isOwnFault);
      const shown = kind === "ignored" && reason !== "aborted" && reason !== "call" ? "failure" : kind;
      publishCallEnd(cluster, this, shown, this.#attempts);
    }
  }

  /** Ended from this side, neither by its deadline nor by the caller: a message that is too large, credentials that fail. */
  #isOwnFault(code: number): boolean {
    if (code === status.OK || code === status.CANCELLED) return false;
    // The latter is what a pick without a node ends with, and what credentials may say.
    if (code === status.DEADLINE_EXCEEDED) return false;
    if (code === status.UNAVAILABLE) return this.#repeats?.lacksCredentials === true;
    // There no attempt is ours, and what the node said cannot be told from what went wrong here.
    if (isGrpcPolicy(this.cluster.options.policy)) return false;
    return this.#latest?.ended !== true && this.#gate?.isRefused !== true;
  }

  /** What the end says of the service. */
  #outcomeOf(code: number, details: string, isOwnFault: boolean): Outcome {
    if (isOwnFault) return ignored("call", details);
    return outcomeOfEnd({ code, details, ...ofWhole });
  }
}

/** What ended with another code than its own, so that grpc-js took it as it should, has its own for the caller. */
function shownOf(ended: Ended, { timedOut, lacksCredentials }: CallRepeats): Ended {
  const { code, details, metadata } = ended;
  if (timedOut !== undefined && details === timedOut) {
    return { code: status.DEADLINE_EXCEEDED, details, metadata };
  }
  if (lacksCredentials && code === status.UNAUTHENTICATED) {
    return { code: status.UNAVAILABLE, details, metadata };
  }
  return ended;
}
