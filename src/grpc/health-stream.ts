/** The health that a node tells of itself on one connection: what the server says, and what it means that the call ended. */
import { type experimental, status } from "@grpc/grpc-js";
import { equalJitterMs } from "../core/backoff.ts";
import type { Clock, Timer } from "../core/clock.ts";
import type { CheckResult } from "../core/health-check.ts";
import type { Random } from "../core/random.ts";
import { HealthCall, type HealthCallHost } from "./health-call.ts";

/** Pauses before a call that broke is made again, as grpc-go has them for this: 1 s, growing to 120 s. */
const baseMs = 1_000;
const maxMs = 120_000;

export interface HealthStreamHost {
  readonly clock: Clock;
  readonly random: Random;
  /** Whose health is asked for; "" for the server as a whole. */
  readonly service: string;
  report(result: CheckResult): void;
}

export class HealthStream implements HealthCallHost {
  readonly authority: string;
  readonly #host: HealthStreamHost;
  readonly #connection: experimental.SubchannelInterface;
  #call: HealthCall | undefined = undefined;
  #timer: Timer | undefined = undefined;
  #failures = 0;

  constructor(host: HealthStreamHost, connection: experimental.SubchannelInterface, authority: string) {
    this.#host = host;
    this.#connection = connection;
    this.authority = authority;
    this.#begin();
  }

  end(): void {
    this.#timer?.cancel();
    this.#call?.cancel();
  }

  get service(): string {
    return this.#host.service;
  }

  heard(name: string): void {
    this.#failures = 0;
    this.#host.report({ healthy: name === "SERVING", detail: name === "SERVING" ? "" : name });
  }

  ended(code: status | undefined): void {
    // Servers without the service are taken to be well (gRPC's health checking protocol).
    if (code === status.UNIMPLEMENTED) {
      this.#host.report({ healthy: true, detail: "" });
      return;
    }
    const { clock, random } = this.#host;
    const pauseMs = equalJitterMs(this.#failures++, baseMs, maxMs, random);
    this.#timer = clock.schedule(() => this.#begin(), pauseMs);
    // A connection that is gone tells of itself.
    if (code === undefined) return;
    this.#host.report({ healthy: false, detail: `its health stream ended as ${status[code] ?? code}` });
  }

  #begin(): void {
    this.#call = new HealthCall(this, this.#connection);
  }
}
