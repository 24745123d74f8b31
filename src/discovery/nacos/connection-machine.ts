/**
 * The life of a connection to one of several Nacos servers, as a state machine: which server is tried when, when the
 * handshake is over, when the connection counts as lost.
 *
 * It decides and does nothing: what happens is told to it together with the time, and `tick` says what to do now.
 */
import { fullJitterMs } from "../../core/backoff.ts";
import type { Random } from "../../core/random.ts";

export type ConnectionState =
  /** Until the next try. */
  | { readonly phase: "pausing"; readonly until: number }
  /** The server was asked who it is. */
  | { readonly phase: "checking"; readonly until: number }
  /** The stream is open, and the server was told who we are. */
  | { readonly phase: "setting-up"; readonly until: number; readonly awaitsAck: boolean }
  | {
      readonly phase: "ready";
      readonly since: number;
      /** When to ask next whether the server is well; Infinity while that is being asked. */
      readonly checkAt: number;
      /** Checks in a row that failed. */
      readonly missed: number;
    };

export type ConnectionAction =
  /** Connect to this server and check it. */
  | { readonly do: "open"; readonly server: string }
  /** The handshake is over: register and subscribe. */
  | { readonly do: "restore" }
  | { readonly do: "check-health" }
  /** Give the connection up, and call `lost`. */
  | { readonly do: "give-up"; readonly why: string };

/** For connecting and the first answer, and for the acknowledgement: what Nacos' own client allows. */
const answerMs = 3_000;
/** A server that does not acknowledge needs this long to know the connection: Nacos' own client waits it, too. */
const settleMs = 100;
/** Nacos' own client's; r-nacos asks after 15 s without a sign, and closes 3 s later. */
const healthCheckMs = 5_000;
/** After a check that failed, and how many may do so in a row: a server in a long collection of garbage is not gone. */
const recheckMs = 1_000;
const mostMissed = 3;
/** The pauses between tries and when they start anew (discovery.md, rule 7). */
const backoffMs = 100;
const backoffMaxMs = 30_000;
const stableMs = 10_000;

export class ConnectionMachine {
  readonly #servers: readonly string[];
  readonly #random: Random;
  #next: number;
  #failures = 0;
  #state: ConnectionState;

  /** @param servers at least one; which of them comes first is left to chance, so that clients spread. */
  constructor(servers: readonly string[], random: Random, now: number) {
    this.#servers = servers;
    this.#random = random;
    this.#next = Math.floor(random() * servers.length);
    this.#state = { phase: "pausing", until: now };
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** When `tick` is to be called at the latest. */
  get dueAt(): number {
    return this.#state.phase === "ready" ? this.#state.checkAt : this.#state.until;
  }

  /** What is to be done now, if anything. */
  tick(now: number): ConnectionAction | undefined {
    if (now < this.dueAt) return undefined;
    const state = this.#state;
    switch (state.phase) {
      case "pausing": {
        const server = this.#servers[this.#next++ % this.#servers.length] as string;
        this.#state = { phase: "checking", until: now + answerMs };
        return { do: "open", server };
      }
      case "checking":
        return { do: "give-up", why: `no answer within ${answerMs} ms` };
      case "setting-up":
        if (state.awaitsAck) return { do: "give-up", why: `no acknowledgement within ${answerMs} ms` };
        return this.#becomeReady(now);
      case "ready":
        this.#state = { ...state, checkAt: Number.POSITIVE_INFINITY };
        return { do: "check-health" };
    }
  }

  /** The server answered the check; `negotiates` when it will acknowledge the setup. */
  checked(negotiates: boolean, now: number): void {
    if (this.#state.phase !== "checking") return;
    const until = now + (negotiates ? answerMs : settleMs);
    this.#state = { phase: "setting-up", until, awaitsAck: negotiates };
  }

  acknowledged(now: number): ConnectionAction | undefined {
    return this.#state.phase === "setting-up" ? this.#becomeReady(now) : undefined;
  }

  /** The server answered a health check. */
  healthy(now: number): void {
    if (this.#state.phase !== "ready") return;
    this.#state = { ...this.#state, checkAt: now + healthCheckMs, missed: 0 };
  }

  /** A health check failed. */
  unhealthy(now: number): ConnectionAction | undefined {
    if (this.#state.phase !== "ready") return undefined;
    const missed = this.#state.missed + 1;
    this.#state = { ...this.#state, checkAt: now + recheckMs, missed };
    return missed < mostMissed ? undefined : { do: "give-up", why: `${missed} health checks failed` };
  }

  /** The connection is gone, or was given up: the next server is tried after a pause. */
  lost(now: number): void {
    if (this.#state.phase === "ready" && now - this.#state.since >= stableMs) this.#failures = 0;
    const pauseMs = fullJitterMs(this.#failures++, backoffMs, backoffMaxMs, this.#random);
    this.#state = { phase: "pausing", until: now + pauseMs };
  }

  /** The server sends its clients away, to the one named if that is one of ours. */
  reset(server: string | undefined, now: number): void {
    const named = server === undefined ? -1 : this.#servers.indexOf(server);
    if (named >= 0) this.#next = named;
    this.lost(now);
  }

  #becomeReady(now: number): ConnectionAction {
    this.#state = { phase: "ready", since: now, checkAt: now + healthCheckMs, missed: 0 };
    return { do: "restore" };
  }
}
