/**
 * A server in its registries, from the moment it listens to its last answer.
 *
 * What it does when it stops, and why in this order: it says first that it is not ready, then it is taken out of the
 * registries, or callers would keep finding it; then it serves on for a while, since callers hear of that late, and tells each of them to go; only then
 * does it stop listening, finishes what is in flight, and cuts off what does not end.
 */
import { randomBytes } from "node:crypto";
import { networkInterfaces } from "node:os";
import type { Instance } from "../core/contracts.ts";
import { enableDebugLog } from "../core/debug.ts";
import { registrationErrors, registrationStates } from "../core/events.ts";
import { longestTimerMs, OptionReader } from "../core/option-reader.ts";
import { sleep } from "../core/sleep.ts";
import { advertisedAddress } from "./advertised.ts";
import { Announcement } from "./announcement.ts";
import type { ResolvedRegisterOptions } from "./options.ts";
import { Served } from "./served.ts";

/** How often `check` is asked until it says yes. */
const checkMs = 1_000;
/** How often it is looked whether the program has closed the server by itself: as often as callers might be refused. */
const lookMs = 1_000;

/** What the registrations of one server share: the last one to close closes it. */
interface Registrations {
  count: number;
  /** A registry has known of it through one that is closed. */
  isKnown: boolean;
}

const registrationsOf: WeakMap<object, Registrations> = new WeakMap();

/** Those of a server, which have become one more or one fewer. */
function countRegistrations(server: object, by: 1 | -1): Registrations {
  const registrations = registrationsOf.get(server) ?? { count: 0, isKnown: false };
  registrations.count += by;
  registrationsOf.set(server, registrations);
  return registrations;
}

export class Registration implements AsyncDisposable {
  readonly #options: ResolvedRegisterOptions;
  readonly #served: Served;
  readonly #stopping: AbortController = new AbortController();
  readonly #waiters: Set<() => void> = new Set();
  #instances: readonly Instance[] = [];
  #announcements: readonly Announcement[] = [];
  /** Why it never can be announced. */
  #mistake: unknown;
  #closing: Promise<void> | undefined;
  #isServerClosed = false;

  constructor(options: ResolvedRegisterOptions) {
    enableDebugLog();
    this.#options = options;
    const { server, clock } = options;
    countRegistrations(server, 1);
    this.#served = new Served(server, clock);
    this.#served.onClosed(() => this.#serverClosed());
    void this.#start();
  }

  /** What is announced, one for each service: empty until the server listens. */
  get instances(): readonly Instance[] {
    return this.#instances;
  }

  /** Whether it is being stopped, or has been: for the answer to whoever asks whether this process is ready. */
  get draining(): boolean {
    return this.#stopping.signal.aborted;
  }

  /**
   * Resolves when every registry has the instance.
   *
   * @param options `timeoutMs`: how long to wait, default 10,000. It goes on being tried after that.
   * @throws Error when not all have it in time; its cause is why the last attempt failed. At once for a host that
   *   nobody can connect to.
   */
  async ready(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    const reader = new OptionReader(options, "ready");
    const timeoutMs = reader.number("timeoutMs", { default: 10_000, min: 0, max: longestTimerMs });
    reader.end();
    let isOver = false;
    const timer = this.#options.clock.schedule(() => {
      isOver = true;
      this.#changed();
    }, timeoutMs);
    timer.keepAlive(true);
    try {
      const name = this.#options.services.join(", ");
      for (;;) {
        if (this.draining) throw new Error(`${name}: the registration is closed`);
        if (this.#mistake !== undefined) throw this.#mistake;
        const missing = this.#announcements.find(({ isRegistered }) => !isRegistered);
        if (this.#announcements.length > 0 && missing === undefined) return;
        if (isOver) {
          const message = `${name}: not registered within ${timeoutMs} ms`;
          throw new Error(message, { cause: missing?.lastError });
        }
        await new Promise<void>((resolve) => this.#waiters.add(resolve));
      }
    } finally {
      timer.cancel();
    }
  }

  /**
   * Takes the instance out of the registries, and closes the server without losing a call. Of several registrations of
   * one server the last one closes it. Never rejects: what goes wrong is published, and the rest is done.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #start(): Promise<void> {
    const { services, registries, clock, random } = this.#options;
    const { signal } = this.#stopping;
    try {
      await this.#served.listening(signal);
      await this.#checked();
      const { bound } = this.#served;
      if (signal.aborted || bound === undefined) return;
      this.#instances = services.map((service) => this.#describe(service, bound));
      this.#announcements = this.#instances.flatMap((instance) =>
        registries.map(
          (registry) =>
            new Announcement(registry, instance, {
              clock,
              random,
              changed: ({ service, address, id }, state) => {
                registrationStates.publish({ service, address, id, state });
                this.#changed();
              },
              report: ({ service, address }, error) => {
                registrationErrors.publish({ service, address, error });
                this.#changed();
              },
            }),
        ),
      );
    } catch (error) {
      this.#mistake = error;
      this.#report(error);
    }
    this.#changed();
    if (this.#announcements.length > 0) await this.#watchServer();
  }

  /** A server that the program closes tells of it only after its last connection, which may take for ever. */
  async #watchServer(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await sleep(this.#options.clock, lookMs, signal);
      if (!signal.aborted && !this.#served.isListening) this.#serverClosed();
    }
  }

  /** By the program itself: there is nothing left to announce, and nothing of it for us to end. */
  #serverClosed(): void {
    this.#isServerClosed = true;
    void this.close();
  }

  #describe(service: string, bound: NonNullable<Served["bound"]>): Instance {
    const { address, host, weight, zone, version, metadata } = this.#options;
    const scheme = this.#options.scheme ?? (this.#served.isSecure ? "https" : "http");
    const announced = address ?? advertisedAddress(bound, { scheme, host }, networkInterfaces());
    // Printable ASCII without white space and slashes, as `Instance.id` has to be.
    const place = announced.replace(/^\w+:(\/\/)?/, "").replace(/[^!-.0-~]/g, "-");
    const id = `${place.slice(0, 180)}:${randomBytes(4).toString("hex")}`;
    return { service, address: announced, id, weight, zone, version, metadata };
  }

  /** Resolves when the program says that it is ready, or it is stopped. */
  async #checked(): Promise<void> {
    const { check, clock } = this.#options;
    const { signal } = this.#stopping;
    while (check !== undefined && !signal.aborted) {
      try {
        if (await answerOf(check, signal)) return;
      } catch (error) {
        this.#report(error);
      }
      await sleep(clock, checkMs, signal);
    }
  }

  async #close(): Promise<void> {
    const { server, protection, deregisterMs, drainMs, closeMs, clock } = this.#options;
    this.#stopping.abort();
    protection?.drain();
    this.#changed();
    await Promise.all(this.#announcements.map((announcement) => announcement.withdraw(deregisterMs)));
    const registrations = countRegistrations(server, -1);
    registrations.isKnown ||= this.#announcements.some(({ isRegistered }) => isRegistered);
    if (registrations.count === 0 && !this.#isServerClosed) {
      const never = new AbortController().signal;
      this.#served.sendAway();
      // Nobody comes to a server that no registry ever knew.
      if (registrations.isKnown) await sleep(clock, drainMs, never);
      const timer = clock.schedule(() => this.#served.destroy(), closeMs);
      await this.#served.close((error) => this.#report(error));
      timer.cancel();
    }
    this.#served.release();
  }

  #changed(): void {
    for (const wake of this.#waiters) wake();
    this.#waiters.clear();
  }

  #report(error: unknown): void {
    for (const service of this.#options.services) {
      registrationErrors.publish({ service, address: undefined, error });
    }
  }
}

/** What the check says, or true when the signal aborts before: one that never answers holds up nobody who stops. */
async function answerOf(check: () => boolean | Promise<boolean>, signal: AbortSignal): Promise<boolean> {
  const { promise: stopped, resolve } = Promise.withResolvers<boolean>();
  const stop = (): void => resolve(true);
  signal.addEventListener("abort", stop);
  try {
    return await Promise.race([check(), stopped]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
