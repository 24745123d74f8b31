/**
 * Open-loop load: calls start on schedule, whatever became of the earlier ones.
 *
 * Callers in the world do not wait for each other either. A loop that does would send less just when the service is
 * slow, and leave out of its figures the calls that it did not make. For the same reason a call's time counts from
 * when it was due, not from when this process got round to sending it.
 */

/** Starts a call that was due at this time, on the clock of `performance.now()`. */
export type Send = (dueAt: number) => void;

export class Load {
  readonly #targets: readonly Send[];
  readonly #startedAt: number = performance.now();
  readonly #intervalMs: number;
  #sent = 0;
  #timer: NodeJS.Timeout | undefined = undefined;

  /** Starts at once. Each target gets `rate` calls per second; they take turns at even distances. */
  constructor(rate: number, targets: readonly Send[]) {
    this.#targets = targets;
    this.#intervalMs = 1_000 / (rate * targets.length);
    this.#tick();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #tick(): void {
    let dueAt = this.#nextDueAt();
    while (dueAt <= performance.now()) {
      this.#targets[this.#sent % this.#targets.length]?.(dueAt);
      this.#sent++;
      dueAt = this.#nextDueAt();
    }
    this.#timer = setTimeout(() => this.#tick(), Math.max(0, dueAt - performance.now()));
  }

  #nextDueAt(): number {
    return this.#startedAt + this.#sent * this.#intervalMs;
  }
}
