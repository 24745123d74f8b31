/**
 * A protected grpc-js server: an interceptor that lets calls in or refuses them.
 *
 * grpc-js is handed in and known by what is used of it, so that it is the copy that the program serves with, and nobody
 * needs its types who does not use it. Deadlines are grpc-js's own: it answers DEADLINE_EXCEEDED by itself when one
 * passes, and tells of every end as a cancellation.
 */
import { priorityHeader, retryHeader } from "../core/layers.ts";
import type { LoadReport } from "../core/load-report.ts";
import { encodeLoadReport, loadReportTrailer } from "../core/orca.ts";
import { runInContext } from "../resilience/call-context.ts";
import type { RefusalReason } from "./guard.ts";
import { type ProtectionCore, priorityOf } from "./protection-core.ts";
import { ServedCall } from "./served-call.ts";

export interface GrpcMetadata {
  get(key: string): readonly (string | Buffer)[];
  set(key: string, value: string | Buffer): void;
  clone(): GrpcMetadata;
}

export interface GrpcStatus {
  readonly code: number;
  readonly details: string;
  readonly metadata?: GrpcMetadata | null | undefined;
}

export interface GrpcNextCall {
  sendStatus(status: GrpcStatus): void;
  getDeadline(): Date | number;
}

export interface GrpcMethod {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

/** `import * as grpc from "@grpc/grpc-js"`. */
export interface GrpcLibrary<Call> {
  readonly ServerInterceptingCall: new (next: never, responder: never) => Call;
  readonly Metadata: new () => unknown;
}

export type GrpcInterceptor<Call> = (method: GrpcMethod, next: GrpcNextCall) => Call;

const ok = 0;
const deadlineExceeded = 4;
const resourceExhausted = 8;
/** UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE, DATA_LOSS: the server's doing, and not the call's. */
const failures: ReadonlySet<number> = new Set([2, deadlineExceeded, resourceExhausted, 13, 14, 15]);

const refusals: Readonly<Record<RefusalReason, GrpcStatus>> = {
  deadline: { code: deadlineExceeded, details: "the deadline of the call had passed before it came in" },
  "event loop": { code: resourceExhausted, details: "overloaded: this turn of the event loop is full" },
  concurrency: { code: resourceExhausted, details: "overloaded: too many calls are in flight" },
};

/** Asked by those who want to know whether the server lives, or what it is. */
const ownServices = ["/grpc.health.v1.Health/", "/grpc.reflection."];

type Pass<Value> = (value: Value) => void;

export function grpcInterceptor<Call>(core: ProtectionCore, grpc: GrpcLibrary<Call>): GrpcInterceptor<Call> {
  // grpc-js's own types say more than is used here.
  const create = (next: GrpcNextCall, responder: object): Call =>
    new grpc.ServerInterceptingCall(next as never, responder as never);
  return (method, next) => {
    if (ownServices.some((prefix) => method.path.startsWith(prefix))) return create(next, {});
    const guarded = new GrpcExchange(core, method, next, () => new grpc.Metadata() as GrpcMetadata);
    return create(next, guarded.responder);
  };
}

class GrpcExchange {
  readonly #core: ProtectionCore;
  readonly #method: GrpcMethod;
  readonly #next: GrpcNextCall;
  readonly #createMetadata: () => GrpcMetadata;
  #call: ServedCall | undefined;

  constructor(
    core: ProtectionCore,
    method: GrpcMethod,
    next: GrpcNextCall,
    createMetadata: () => GrpcMetadata,
  ) {
    this.#core = core;
    this.#method = method;
    this.#next = next;
    this.#createMetadata = createMetadata;
  }

  /** What the call does on its way from the network to the handler, and back. */
  get responder(): object {
    const listener = {
      onReceiveMetadata: (metadata: GrpcMetadata, pass: Pass<GrpcMetadata>) => this.#arrived(metadata, pass),
      onReceiveMessage: (message: unknown, pass: Pass<unknown>) => this.#within(() => pass(message)),
      onReceiveHalfClose: (pass: () => void) => this.#within(pass),
      onCancel: () => this.#call?.gone(),
    };
    return {
      start: (go: Pass<object>) => go(listener),
      sendMetadata: (metadata: GrpcMetadata, pass: Pass<GrpcMetadata>) => {
        this.#call?.answered();
        pass(metadata);
      },
      sendStatus: (status: GrpcStatus, pass: Pass<GrpcStatus>) => {
        const call = this.#call;
        if (call === undefined) return pass(status);
        call.answered();
        pass(this.#withTrailers(call, status));
        call.ended(failures.has(status.code));
      },
    };
  }

  #arrived(metadata: GrpcMetadata, pass: Pass<GrpcMetadata>): void {
    const { path, requestStream, responseStream } = this.#method;
    const now = this.#core.clock.now();
    const arrival = {
      priority: priorityOf(metadata.get(priorityHeader)[0]),
      // grpc-js has it on the wall clock. The difference first: a sum with that clock would be rounded.
      endsAt: now + (Number(this.#next.getDeadline()) - Date.now()),
      // A stream lasts as long as its two ends like, which says nothing of load.
      isCounted: !requestStream && !responseStream && !this.#core.isExempt("POST", path),
      // Its clients keep their connections.
      isFresh: false,
    };
    const refusal = this.#core.admit(arrival, { method: "POST", path }, now);
    if (refusal !== undefined) {
      this.#next.sendStatus(refusals[refusal]);
      return;
    }
    this.#call = new ServedCall(this.#core, arrival, now, () => {});
    this.#within(() => pass(metadata));
  }

  #within(work: () => void): void {
    if (this.#call === undefined) work();
    else runInContext(this.#call.context, work);
  }

  #withTrailers(call: ServedCall, status: GrpcStatus): GrpcStatus {
    const report = this.#core.loadReport(call);
    const isFinal = status.code !== ok && call.context.failedBelow;
    if (report === undefined && !isFinal) return status;
    // The handler's own may be one that it uses again.
    const metadata = status.metadata?.clone() ?? this.#createMetadata();
    if (report !== undefined) addReport(metadata, report);
    if (isFinal) metadata.set(retryHeader, "no");
    return { ...status, metadata };
  }
}

function addReport(metadata: GrpcMetadata, report: LoadReport): void {
  if (metadata.get(loadReportTrailer).length === 0) metadata.set(loadReportTrailer, encodeLoadReport(report));
}
