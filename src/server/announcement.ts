/** One instance in one registry: announced until it is withdrawn, whatever the registry does meanwhile. */
import { fullJitterMs } from "../core/backoff.ts";
import type { Clock } from "../core/clock.ts";
import type { Instance, Registry } from "../core/contracts.ts";
import type { Random } from "../core/random.ts";
import { sleep } from "../core/sleep.ts";

export interface AnnouncementOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Is told when the registry has the instance, and when it has it no more. */
  changed(instance: Instance, state: "registered" | "deregistered"): void;
  report(instance: Instance, error: unknown): void;
}

// Pauses between attempts, as discovery has them.
const backoffMs = 100;
const backoffMaxMs = 30_000;

export class Announcement {
  readonly #registry: Registry;
  readonly #instance: Instance;
  readonly #options: AnnouncementOptions;
  /** Lets go of everything. */
  readonly #release: AbortController = new AbortController();
  /** Ends the attempts. */
  readonly #withdrawn: AbortController = new AbortController();
  readonly #registering: Promise<AsyncDisposable | undefined>;
  #isRegistered = false;
  #lastError: unknown;

  /** Begins at once. */
  constructor(registry: Registry, instance: Instance, options: AnnouncementOptions) {
    this.#registry = registry;
    this.#instance = instance;
    this.#options = options;
    this.#registering = this.#register();
  }

  /** The registry has had it. */
  get isRegistered(): boolean {
    return this.#isRegistered;
  }

  /** Why the registry did not take it, the last time. */
  get lastError(): unknown {
    return this.#lastError;
  }

  /**
   * Takes the instance out. It is not announced again from the moment of the call on; an announcement under way is
   * waited for, so that it is not left behind.
   *
   * @returns within `timeoutMs`, whatever the registry does; what goes wrong is reported.
   */
  async withdraw(timeoutMs: number): Promise<void> {
    const { clock, changed, report } = this.#options;
    this.#withdrawn.abort();
    const taken = this.#takeOut();
    let isLate = false;
    const timer = clock.schedule(() => {
      isLate = true;
      this.#release.abort();
    }, timeoutMs);
    const late = new Promise<void>((resolve) =>
      this.#release.signal.addEventListener("abort", () => resolve(), { once: true }),
    );
    try {
      await Promise.race([taken, late]);
      if (isLate) {
        const what = this.#isRegistered
          ? `not deregistered within ${timeoutMs} ms; its lease has to run out`
          : `it was still being registered when it was to be taken out, and is given up after ${timeoutMs} ms`;
        report(this.#instance, new Error(what));
      } else if (this.#isRegistered) changed(this.#instance, "deregistered");
    } catch (error) {
      report(this.#instance, error);
    } finally {
      timer.cancel();
      this.#release.abort();
      // Of no interest any more if it was late.
      taken.catch(() => {});
    }
  }

  async #takeOut(): Promise<void> {
    const handle = await this.#registering;
    await handle?.[Symbol.asyncDispose]();
  }

  async #register(): Promise<AsyncDisposable | undefined> {
    const { clock, random, changed, report } = this.#options;
    const instance = this.#instance;
    const context = {
      service: instance.service,
      signal: this.#release.signal,
      report: (error: unknown) => {
        this.#lastError = error;
        report(instance, error);
      },
    };
    for (let failures = 0; !this.#withdrawn.signal.aborted; failures++) {
      try {
        const handle = await this.#registry.register(instance, context);
        this.#isRegistered = true;
        changed(instance, "registered");
        return handle;
      } catch (error) {
        if (this.#release.signal.aborted) return undefined;
        context.report(error);
      }
      await sleep(clock, fullJitterMs(failures, backoffMs, backoffMaxMs, random), this.#withdrawn.signal);
    }
    return undefined;
  }
}
