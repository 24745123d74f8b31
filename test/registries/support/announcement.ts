/** An instance of ours that announces itself, from the call of `register` on. */
import type { Instance } from "../../../src/core/contracts.ts";
import { until } from "../../support/until.ts";
import type { RunningSubject, Subject } from "./subject.ts";

export class Announcement implements AsyncDisposable {
  /** What the registry told of while it tried. */
  readonly errors: unknown[] = [];
  /** Resolves when the registry has the instance. */
  readonly registered: Promise<void>;
  readonly #patience: number;
  readonly #registration: Promise<AsyncDisposable>;

  constructor(running: RunningSubject, { patience = 1 }: Subject, instance: Instance, signal: AbortSignal) {
    this.#patience = patience;
    const registry = running.registry();
    if (registry === undefined) throw new Error("this subject has no registry");
    const report = (error: unknown): void => void this.errors.push(error);
    this.#registration = registry.register(instance, { service: running.service, signal, report });
    this.registered = this.#registration.then(() => {});
    // Whoever waits for one of the two is told; the other is not left unhandled.
    this.registered.catch(() => {});
  }

  async untilError(): Promise<void> {
    await until("the registry reports an error", () => this.errors.length > 0, this.#patience * 15_000);
  }

  /** Takes the instance out. */
  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#registration)[Symbol.asyncDispose]();
  }
}
