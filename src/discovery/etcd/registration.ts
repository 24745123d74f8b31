/**
 * Keeps one instance in etcd: puts it under a lease, keeps that alive, and puts it again whenever it is missing.
 *
 * Every third of the lease's time it renews the lease and looks at its own key. Between those two nothing can be lost
 * unseen: a lease that lapsed, a store that was wiped, a key that somebody deleted.
 */

import { fullJitterMs } from "../../core/backoff.ts";
import type { Clock, Timer } from "../../core/clock.ts";
import type { Random } from "../../core/random.ts";
import { failureOf } from "./failure.ts";
import type { EtcdEntry } from "./format.ts";
import type { Link, LinkUser } from "./link.ts";
import type { Session } from "./session.ts";

/** What went missing is put again after up to this long: a wiped store is missed by all instances at once. */
const jitterMs = 1_000;
/**
 * How long taking out may take, reconnecting included. Afterwards a shutdown should go on: the key is gone when the
 * lease ends.
 */
const takeOutMs = 3_000;

export interface RegistrationOptions {
  /** Names the instance in errors. */
  readonly name: string;
  /** The key and value to put under a lease. */
  readonly entry: (lease: string) => EtcdEntry;
  readonly ttlSeconds: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly backoffMs: number;
  report(error: unknown): void;
  /** Called once, when it is over. */
  left(): void;
}

interface Lease {
  readonly id: string;
  readonly ttlMs: number;
  readonly entry: EtcdEntry;
}

export class Registration implements LinkUser, AsyncDisposable {
  readonly #options: RegistrationOptions;
  readonly #leave: () => void;
  readonly #registered: PromiseWithResolvers<void> = Promise.withResolvers();
  #session: Session | undefined;
  #timer: Timer | undefined;
  #lease: Lease | undefined;
  /** It was there once: what is put from now on was lost. */
  #wasThere = false;
  #failures = 0;
  #complaint: string | undefined;
  #phase: "keeping" | "leaving" | "left" = "keeping";
  /** Set while taking out waits for a connection. */
  #attached: (() => void) | undefined;
  #takingOut: Promise<void> | undefined;

  constructor(link: Link, options: RegistrationOptions) {
    this.#options = options;
    this.#leave = link.join(this);
  }

  /** Resolves when etcd has the instance for the first time; rejects when let go of before. */
  get registered(): Promise<void> {
    return this.#registered.promise;
  }

  attach(session: Session): void {
    this.#session = session;
    if (this.#phase === "leaving") this.#attached?.();
    else void this.#reconcile(session);
  }

  detach(error: Error | undefined): void {
    this.#session = undefined;
    this.#timer?.cancel();
    if (error !== undefined) this.#complain(error);
  }

  /** Stops everything at once and takes nothing out. */
  letGo(reason: unknown): void {
    if (this.#phase === "left") return;
    this.#phase = "left";
    this.#registered.reject(reason);
    this.#session = undefined;
    this.#timer?.cancel();
    this.#attached?.();
    this.#leave();
    this.#options.left();
  }

  /** Takes the instance out. @throws Error when that could not be done. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#takingOut ??= this.#takeOut();
    return this.#takingOut;
  }

  async #takeOut(): Promise<void> {
    if (this.#phase === "left") return;
    this.#phase = "leaving";
    this.#timer?.cancel();
    const { clock, name } = this.#options;
    const tooLate = Promise.withResolvers<never>();
    const timer = clock.schedule(() => {
      tooLate.reject(new Error(`${name} could not be taken out of etcd within ${takeOutMs} ms`));
    }, takeOutMs);
    try {
      await Promise.race([this.#revoke(), tooLate.promise]);
    } finally {
      timer.cancel();
      this.letGo(new Error(`${name} was taken out of etcd`));
    }
  }

  /** Ends the lease and the key with it; a key that another process has put since is not under it. */
  async #revoke(): Promise<void> {
    while (this.#lease !== undefined && this.#phase === "leaving") {
      const session = this.#session;
      if (session === undefined) {
        await new Promise<void>((resolve) => {
          this.#attached = resolve;
        });
        continue;
      }
      try {
        await session.revoke(this.#lease.id);
        return;
      } catch (error) {
        const failure = failureOf(error);
        if (failure === "lease") return;
        // The next connection may do.
        if (failure !== "connection") throw error;
        if (this.#session === session) this.#session = undefined;
      }
    }
  }

  async #reconcile(session: Session): Promise<void> {
    const { clock, random, backoffMs, ttlSeconds } = this.#options;
    let delayMs: number;
    try {
      if (await this.#isThere(session)) {
        // Also when the answer to its put was lost.
        this.#isIn();
        delayMs = (this.#lease?.ttlMs ?? 0) / 3;
      } else if (this.#wasThere) {
        this.#wasThere = false;
        delayMs = random() * jitterMs;
      } else {
        await this.#put(session);
        delayMs = (this.#lease?.ttlMs ?? 0) / 3;
      }
      this.#failures = 0;
      if (this.#wasThere) this.#complaint = undefined;
    } catch (error) {
      if (this.#session !== session) return;
      this.#complain(error as Error);
      delayMs = fullJitterMs(this.#failures++, backoffMs, (ttlSeconds * 1_000) / 3, random);
    }
    if (this.#session !== session || this.#phase !== "keeping") return;
    this.#timer?.cancel();
    this.#timer = clock.schedule(() => void this.#reconcile(session), delayMs);
  }

  /** Renews the lease and looks at the key. */
  async #isThere(session: Session): Promise<boolean> {
    if (this.#lease === undefined) return false;
    const secondsLeft = await session.keepAlive(this.#lease.id);
    if (secondsLeft <= 0) {
      this.#lease = undefined;
      return false;
    }
    const { kvs } = await session.range({ key: Buffer.from(this.#lease.entry.key) });
    const [kv] = kvs;
    // Under another lease it is another process', who has our address now and keeps it. Under none it would stay
    // there when we are gone.
    return kv !== undefined && kv.lease !== "0";
  }

  async #put(session: Session): Promise<void> {
    const { entry, ttlSeconds } = this.#options;
    if (this.#lease === undefined) {
      const granted = await session.grant(ttlSeconds);
      if (this.#phase !== "keeping") return void session.revoke(granted.id).catch(() => {});
      this.#lease = { id: granted.id, ttlMs: granted.ttlSeconds * 1_000, entry: entry(granted.id) };
    }
    const { id, entry: written } = this.#lease;
    try {
      await session.put({ key: Buffer.from(written.key), value: Buffer.from(written.value), lease: id });
    } catch (error) {
      if (failureOf(error) === "lease") this.#lease = undefined;
      throw error;
    }
    this.#isIn();
  }

  #isIn(): void {
    this.#wasThere = true;
    this.#registered.resolve();
  }

  #complain(error: Error): void {
    if (error.message === this.#complaint || this.#phase === "left") return;
    this.#complaint = error.message;
    this.#options.report(error);
  }
}
