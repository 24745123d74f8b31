/** One proxied connection: the client's socket, the service's, and a pipe each way between them. */
import { connect, type Socket } from "node:net";
import type { Address } from "../../core/address.ts";
import type { Random } from "../../core/random.ts";
import type { ResolvedFault } from "./fault.ts";
import { Pipe } from "./pipe.ts";

/** What a proxy knows of all its connections. */
export interface ConnectionHost {
  readonly target: Address;
  readonly random: Random;
  passed(direction: "request" | "response", bytes: number): void;
}

export class Connection {
  readonly #client: Socket;
  readonly #service: Socket;
  readonly #request: Pipe;
  readonly #response: Pipe;
  /** Resolves when the client's side is closed. */
  readonly clientClosed: Promise<void>;
  /** Resolves when both sides are. */
  readonly closed: Promise<void>;
  /** The side that was left when the other was closed without a word. */
  #leftAlone: Socket | undefined = undefined;
  /** Whether it may send what it likes without an answer. */
  #isSilent = false;
  #truncates = false;

  /** @param client a connection that was just accepted, with `allowHalfOpen`. */
  constructor(client: Socket, host: ConnectionHost) {
    this.#client = client;
    const { hostname, port, socketPath } = host.target;
    const place = socketPath === "" ? { host: hostname, port } : { path: socketPath };
    this.#service = connect({ ...place, allowHalfOpen: true, noDelay: true });
    const pipe = (source: Socket, sink: Socket, direction: "request" | "response") =>
      new Pipe(source, sink, {
        direction,
        random: host.random,
        passed: (bytes) => host.passed(direction, bytes),
        cut: () => this.#cut(),
      });
    this.#request = pipe(client, this.#service, "request");
    this.#response = pipe(this.#service, client, "response");
    this.clientClosed = closeOf(client);
    this.closed = Promise.all([this.clientClosed, closeOf(this.#service)]).then(() => {});
  }

  setFault(fault: ResolvedFault): void {
    this.#isSilent = fault.kind === "half-open";
    if (this.#leftAlone !== undefined) return;
    if (fault.kind === "half-open") this.#leave(fault.closed);
    else if (fault.kind === "reset" && fault.afterBytes === undefined) this.#reset();
    else {
      this.#truncates = fault.kind === "truncate";
      this.#request.setFault(fault);
      this.#response.setFault(fault);
    }
  }

  destroy(): void {
    this.#request.close();
    this.#response.close();
    this.#client.destroy();
    this.#service.destroy();
  }

  /** The number of bytes of a `reset` or `truncate` has passed. */
  #cut(): void {
    if (this.#truncates) {
      this.#request.close();
      this.#service.destroy();
      // What the client still sends is read and dropped, so that it meets the FIN and not a RST.
      this.#client.end();
      this.#client.resume();
    } else {
      this.#reset();
    }
  }

  #reset(): void {
    this.#request.close();
    this.#response.close();
    this.#client.resetAndDestroy();
    this.#service.resetAndDestroy();
  }

  #leave(closed: "client" | "service"): void {
    this.#request.close();
    this.#response.close();
    const [gone, left] = closed === "client" ? [this.#client, this.#service] : [this.#service, this.#client];
    this.#leftAlone = left;
    gone.destroy();
    left.resume();
    left.on("data", () => {
      if (!this.#isSilent) left.resetAndDestroy();
    });
    left.on("end", () => left.destroy());
    // It may have said its end before.
    if (left.readableEnded) left.destroy();
  }
}

function closeOf(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}
