/** One attempt of a unary call that went through the interceptor: sent by Connect's transport, carried by our stream. */
import type { ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import type { Attempt } from "../core/attempt.ts";
import { CarriedStream, type StreamFault, type StreamListener } from "./carried-stream.ts";
import { connectErrorOf } from "./connect-errors.ts";
import type { ConnectService } from "./connect-service.ts";

export class RpcAttempt implements StreamListener {
  readonly attempt: Attempt;
  /** Gives the transport's part of it up. */
  readonly controller: AbortController = new AbortController();
  /** Undefined until the session manager was asked for it. */
  carried: CarriedStream | undefined = undefined;
  /** Why it got no stream. */
  unopenedFor: StreamFault | undefined = undefined;
  readonly #service: ConnectService;
  #resolve: ((stream: ClientHttp2Stream) => void) | undefined = undefined;
  #reject: ((error: Error) => void) | undefined = undefined;

  constructor(service: ConnectService, attempt: Attempt) {
    this.#service = service;
    this.attempt = attempt;
  }

  get fault(): StreamFault | undefined {
    return this.unopenedFor ?? this.carried?.fault;
  }

  open(headers: OutgoingHttpHeaders): Promise<ClientHttp2Stream> {
    const { sessions, cluster } = this.#service;
    const now = (): number => cluster.clock.now();
    const carried = new CarriedStream(this.attempt, sessions.of(this.attempt.node), headers, this, now);
    this.carried = carried;
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      carried.open();
    });
  }

  stop(error: Error): void {
    this.carried?.stop(error);
    this.controller.abort(error);
    this.#reject?.(error);
  }

  opened(_carried: CarriedStream, stream: ClientHttp2Stream): void {
    this.#resolve?.(stream);
  }

  unopened(_carried: CarriedStream, fault: StreamFault): void {
    this.unopenedFor = fault;
    this.#reject?.(connectErrorOf(fault.error));
  }

  // How it went is known when the transport has made an answer or an error of it.

  headed(): void {}

  trailed(): void {}

  closedByCaller(): void {}

  ended(): void {}
}
