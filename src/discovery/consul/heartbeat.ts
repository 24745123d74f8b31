/**
 * What a registration with a TTL check has to do next, and when: register, or say that it is alive.
 *
 * It never ends: whatever the agent loses (a restart, a wiped folder, an operator's deregistration) comes to light
 * with the next heartbeat, and is registered again.
 */
import { fullJitterMs } from "../../core/backoff.ts";
import type { Random } from "../../core/random.ts";

export type HeartbeatStep = "register" | "pass";

const backoffMs = 100;

export class Heartbeat {
  readonly #intervalMs: number;
  readonly #random: Random;
  #step: HeartbeatStep = "register";
  #dueAt: number;
  #failures = 0;

  /** @param ttlMs after how long without a heartbeat Consul takes the instance for dead. */
  constructor(ttlMs: number, random: Random, now: number) {
    // Two heartbeats may be lost before the third comes too late.
    this.#intervalMs = ttlMs / 3;
    this.#random = random;
    this.#dueAt = now;
  }

  get step(): HeartbeatStep {
    return this.#step;
  }

  /** When the step is to be taken. */
  get dueAt(): number {
    return this.#dueAt;
  }

  succeeded(now: number): void {
    this.#failures = 0;
    if (this.#step === "register") {
      // At once: an agent that restarts remembers only what a heartbeat said, and not how a check was registered.
      this.#step = "pass";
      this.#dueAt = now;
      return;
    }
    // Up to a tenth earlier, so that instances that started together do not stay in step.
    this.#dueAt = now + this.#intervalMs * (1 - this.#random() / 10);
  }

  /** The agent does not know the check: the instance is to be registered again. */
  missing(now: number): void {
    this.#step = "register";
    this.#pause(now);
  }

  /** The step failed, and is taken again: soon, and at the latest when the next heartbeat would be due. */
  failed(now: number): void {
    this.#pause(now);
  }

  #pause(now: number): void {
    this.#dueAt = now + fullJitterMs(this.#failures++, backoffMs, this.#intervalMs, this.#random);
  }
}
