/**
 * One call's way through its service's admission: whether it was let through, and what admission is told of it then.
 *
 * Made only where `limits` or a `breaker` is set.
 */
import type { Outcome } from "../core/outcome.ts";
import type { Admission, Applicant } from "./admission.ts";

export class AdmissionPass {
  protected readonly admission: Admission;
  /** Undefined while it asks or waits. */
  #admittedAt: number | undefined = undefined;
  /** Undefined once a good answer was told of. */
  #ticket: number | undefined = undefined;

  constructor(admission: Admission) {
    this.admission = admission;
  }

  /** It was let through. */
  admitted(now: number, ticket: number): void {
    this.#admittedAt = now;
    this.#ticket = ticket;
  }

  /** There is a good answer: however long its body takes, it is no hang. */
  answered(now: number): void {
    if (this.#ticket === undefined || this.#admittedAt === undefined) return;
    this.admission.answered(this.#ticket, now - this.#admittedAt, now);
    this.#ticket = undefined;
  }

  /** The call is over, and where it still asks or waits, it does so no more. */
  stopAsking(call: Applicant): void {
    if (this.#admittedAt === undefined) this.admission.left(call);
  }

  /** The call is over. To be told last: where it was let through, it lets others go. */
  ended(outcome: Outcome, answeredAt: number, isEndless: boolean, now: number): void {
    const admittedAt = this.#admittedAt;
    if (admittedAt === undefined) return;
    const latencyMs = answeredAt - admittedAt;
    this.admission.ended(this.#ticket, outcome, { latencyMs, admittedAt, isEndless }, now);
  }
}
