/**
 * The address of a node as grpc-js takes it, with a way to give up a connection that is being made.
 *
 * grpc-js has no connect timeout: a peer that accepts and never sends its SETTINGS was still "connecting" after 35 s
 * (grpc-node#2785). But it hands the address to `net.connect` as it is, which reads an abort signal from it.
 */
import type { experimental } from "@grpc/grpc-js";
import type { Address } from "../core/address.ts";

export class Dial {
  readonly address: experimental.SubchannelAddress;
  #controller: AbortController = new AbortController();

  constructor({ scheme, hostname, port, socketPath }: Address) {
    const place = scheme === "unix" ? { path: socketPath } : { host: hostname, port };
    this.address = Object.defineProperty(place, "signal", {
      enumerable: true,
      get: () => this.#controller.signal,
    });
  }

  /** A new connection is about to be made. */
  begin(): void {
    // One that was never aborted serves on: at most one connection of an address is being made at a time.
    if (this.#controller.signal.aborted) this.#controller = new AbortController();
  }

  /** The connection that is being made stands; nothing must end it by way of its signal. */
  connected(): void {
    this.#controller = new AbortController();
  }

  giveUp(reason: Error): void {
    this.#controller.abort(reason);
  }
}
