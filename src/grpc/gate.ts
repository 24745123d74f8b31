/**
 * What a call waits at before it is sent, where the service has `limits` or a `breaker`: the cluster's admission.
 *
 * grpc-js lets filters take their time over a call's metadata, and starts the call when they give it back. A call that
 * is refused never reaches a picker.
 */
import { Metadata, status } from "@grpc/grpc-js";
import type { Admission, Applicant, Refusal } from "../cluster/admission.ts";
import { AdmissionPass } from "../cluster/admission-pass.ts";
import type { CallPriority } from "../core/contracts.ts";
import type { Deadline, Lane } from "../core/deadlines.ts";
import { rejects } from "../core/events.ts";
import type { Outcome } from "../core/outcome.ts";
import type { GrpcCall } from "./grpc-call.ts";

export class Gate extends AdmissionPass implements Applicant, Deadline {
  readonly priority: CallPriority;
  readonly endsAt: number;
  dueAt = 0;
  lane: Lane | undefined = undefined;
  earlier: Deadline | undefined = undefined;
  later: Deadline | undefined = undefined;
  readonly #call: GrpcCall;
  #opened: ((pass: Promise<Metadata>) => void) | undefined = undefined;
  #metadata: Promise<Metadata> | undefined = undefined;
  isRefused = false;

  constructor(call: GrpcCall, admission: Admission) {
    super(admission);
    this.#call = call;
    this.priority = call.priority;
    this.endsAt = call.endsAt;
  }

  /** Gives the metadata back when the call may go. */
  enter(metadata: Promise<Metadata>): Promise<Metadata> {
    const { clock } = this.#call.cluster;
    this.#metadata = metadata;
    return new Promise<Metadata>((resolve) => {
      this.#opened = resolve;
      const dueAt = this.admission.admit(this, clock.now());
      if (this.#opened === undefined) return;
      this.dueAt = Math.min(this.endsAt, dueAt);
      if (this.dueAt < Number.POSITIVE_INFINITY) this.#call.service.deadlines.add(this);
    });
  }

  override admitted(now: number, ticket: number): void {
    super.admitted(now, ticket);
    this.#call.cluster.callAdmitted(now);
    this.#open(this.#metadata as Promise<Metadata>);
  }

  refused({ code, message }: Refusal): void {
    this.isRefused = true;
    const { name } = this.#call.cluster;
    if (rejects.hasSubscribers) rejects.publish({ service: name, code, message });
    // "Too much" for what is asked for too often or waits too long, "not there" for a service that is given a rest.
    const isRest = code === "ERR_CIRCUIT_OPEN";
    this.#open(
      Promise.reject({
        code: isRest ? status.UNAVAILABLE : status.RESOURCE_EXHAUSTED,
        details: `${name}: ${message}`,
        metadata: new Metadata(),
      }),
    );
  }

  expire(): void {
    if (this.#opened !== undefined) this.admission.expired(this);
  }

  /** The call is over, whether or not it went through here. */
  left(outcome: Outcome, now: number): void {
    this.#call.service.deadlines.remove(this);
    this.#opened = undefined;
    this.stopAsking(this);
    this.ended(outcome, now, this.#call.isStream, now);
  }

  #open(pass: Promise<Metadata>): void {
    this.#call.service.deadlines.remove(this);
    const opened = this.#opened;
    this.#opened = undefined;
    opened?.(pass);
  }
}
