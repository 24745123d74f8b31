/**
 * One HTTP/2 connection to a node, of Node.js' own `http2`: Connect's transports write to its streams themselves.
 *
 * It is ready when the peer's SETTINGS are here. A TCP connection alone says little: the kernel of a frozen process
 * still accepts one.
 */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type OutgoingHttpHeaders,
} from "node:http2";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Address } from "../core/address.ts";
import { outcomeOfError } from "../core/classify.ts";
import type { Clock, Timer } from "../core/clock.ts";
import { failure, ignored, type Outcome } from "../core/outcome.ts";
import { type DialOptions, dial } from "./dial.ts";
import { cancel, noError, outcomeOfFarewell } from "./http2-codes.ts";
import { Pulse } from "./pulse.ts";

/** From how late on a timer tells of a blocked event loop, not of ordinary work. */
const blockedFromMs = 20;

export interface SessionOptions extends DialOptions {
  readonly address: Address;
  /** What requests call the node: `:scheme` and `:authority`. */
  readonly origin: URL;
  readonly maxStreams: number;
  readonly idleMs: number;
  /** 0 for never. */
  readonly pingMs: number;
  readonly pingTimeoutMs: number;
  /** When it takes no more requests, on the clock. */
  readonly expiresAt: number;
  readonly clock: Clock;
}

/** Why a connection is no more, or did not come about. */
export interface Loss {
  readonly error: Error;
  readonly outcome: Outcome;
}

/** A stream on the connection, or one that has been promised a place. */
export interface Passenger {
  /** Called once; the passenger has left by then. */
  connectionLost(loss: Loss): void;
}

export interface SessionOwner {
  /** It stands; called once. */
  stood(): void;
  /** Whether it may be closed when it has rested for long. */
  readonly maySpare: boolean;
  /** The state or the room of the session is another. */
  changed(session: NodeSession): void;
  /** It is gone; called once. `wasReady` tells whether it ever stood. */
  lost(session: NodeSession, loss: Loss, wasReady: boolean): void;
}

export class NodeSession {
  /** `ending`: it finishes what it has, and takes nothing new. */
  state: "connecting" | "ready" | "verifying" | "ending" | "gone" = "connecting";
  /** What the peer said when it took leave: streams above `lastId` were not processed. */
  farewell: { readonly code: number; readonly lastId: number } | undefined = undefined;
  readonly #options: SessionOptions;
  readonly #owner: SessionOwner;
  readonly #passengers: Set<Passenger> = new Set();
  readonly #socket: Socket;
  readonly #session: ClientHttp2Session;
  readonly #pulse: Pulse;
  #connectTimer: Timer;
  #idleTimer: Timer | undefined = undefined;
  #idleSince = 0;
  #wasReady = false;
  #most: number;

  constructor(options: SessionOptions, owner: SessionOwner) {
    const { address, origin, clock, connectMs, maxStreams } = options;
    this.#options = options;
    this.#owner = owner;
    this.#most = maxStreams;
    this.#socket = dial(address, options);
    this.#socket.setNoDelay(true);
    // Before http2 listens: it would end the streams with codes that tell less.
    this.#socket.on("error", (error) => this.#fail(error));
    this.#socket.once("close", () => this.#fail(new Error("the connection was closed")));
    this.#session = connect(origin.href, {
      createConnection: () => this.#socket,
      settings: { enablePush: false },
    });
    this.#session.on("error", (error) => this.#fail(error));
    this.#session.once("remoteSettings", () => this.#settled());
    this.#session.on("goaway", (code, lastId) => this.#parted(code, lastId));
    this.#pulse = new Pulse(options, this.#session, this.#socket, (error) =>
      this.#lose({ error, outcome: failure("timeout", "no answer to a PING") }),
    );
    const dueAt = clock.now() + connectMs;
    const giveUp = (): void => {
      const error = new Error(`no connection to ${address.text} within ${connectMs} ms`);
      this.#lose({ error, outcome: failure("connect", "connect timeout") });
    };
    this.#connectTimer = clock.schedule(() => {
      const lateMs = clock.now() - dueAt;
      // While this process stood still it could read no answer.
      if (lateMs < blockedFromMs) giveUp();
      else this.#connectTimer = clock.schedule(giveUp, Math.min(lateMs, connectMs));
    }, connectMs);
  }

  get isIdle(): boolean {
    return this.#passengers.size === 0;
  }

  /** How many more streams it takes now. */
  get room(): number {
    // http2 knows of its end before it tells.
    if (this.state !== "ready" || this.#session.destroyed || this.#session.closed) return 0;
    return this.#most - this.#passengers.size;
  }

  /** How many it will take, as far as is known, when it is ready. */
  get expectedRoom(): number {
    return this.state === "connecting" || this.state === "verifying" ? this.#most : 0;
  }

  /** Whether it has been silent for so long that it had better be asked before it is used. */
  get isDoubtful(): boolean {
    return this.isIdle && this.#pulse.isDoubtful;
  }

  get isExpired(): boolean {
    return this.#options.clock.now() >= this.#options.expiresAt;
  }

  /** Asks the peer for a sign of life; the owner is told when it is here, or when it did not come. */
  verify(): void {
    this.state = "verifying";
    this.#session.ref();
    this.#pulse.verify(() => {
      if (this.state !== "verifying") return;
      this.state = "ready";
      // Whoever asked for it may have left meanwhile.
      this.#rest();
      this.#owner.changed(this);
    });
  }

  /** Gives a place to a stream that is opened at once. */
  board(passenger: Passenger): void {
    this.#passengers.add(passenger);
    if (this.#passengers.size > 1) return;
    this.#session.ref();
    this.#pulse.start();
  }

  /** @throws Error when the connection takes no more streams. */
  request(headers: OutgoingHttpHeaders): ClientHttp2Stream {
    return this.#session.request({ ":authority": this.#options.origin.host, ...headers }, {});
  }

  leave(passenger: Passenger): void {
    if (!this.#passengers.delete(passenger) || this.state === "gone") return;
    if (this.isIdle) {
      this.#pulse.stop();
      if (this.state === "ending") this.#closeSoon();
      else this.#rest();
    }
    if (this.state === "ready") this.#owner.changed(this);
  }

  /** Takes nothing new, and closes when what is under way has ended. */
  retire(): void {
    if (this.state === "gone" || this.state === "ending") return;
    const wasConnecting = this.state === "connecting";
    this.state = "ending";
    if (wasConnecting) {
      this.#lose(closedOnOurSide);
      return;
    }
    this.#session.close();
    if (this.isIdle) this.#closeSoon();
  }

  destroy(loss: Loss): void {
    this.#lose(loss);
  }

  #settled(): void {
    if (this.state !== "connecting") return;
    this.#connectTimer.cancel();
    this.#wasReady = true;
    this.state = "ready";
    this.#limit();
    this.#session.on("remoteSettings", () => {
      this.#limit();
      this.#owner.changed(this);
    });
    this.#rest();
    this.#owner.stood();
    this.#owner.changed(this);
  }

  #limit(): void {
    const allowed = this.#session.remoteSettings.maxConcurrentStreams ?? Number.POSITIVE_INFINITY;
    this.#most = Math.min(this.#options.maxStreams, allowed);
  }

  /** Nothing is under way: the process may end, and the connection closes after a while. */
  #rest(): void {
    this.#session.unref();
    this.#idleSince = this.#options.clock.now();
    if (this.#idleTimer === undefined) this.#closeLater(this.#options.idleMs);
  }

  #closeLater(delayMs: number): void {
    this.#idleTimer = this.#options.clock.schedule(() => {
      this.#idleTimer = undefined;
      if (!this.isIdle || this.state !== "ready") return;
      const leftMs = this.#idleSince + this.#options.idleMs - this.#options.clock.now();
      if (leftMs > 0) this.#closeLater(leftMs);
      else if (this.#owner.maySpare) this.retire();
      else this.#closeLater(this.#options.idleMs);
    }, delayMs);
  }

  /** Nothing is under way, and nothing will be: a peer that does not close its side, frozen perhaps, is not waited for. */
  #closeSoon(): void {
    this.#session.unref();
    this.#idleTimer?.cancel();
    const { clock, pingTimeoutMs } = this.#options;
    this.#idleTimer = clock.schedule(() => this.#lose(closedOnOurSide), pingTimeoutMs);
  }

  #parted(code: number, lastId: number): void {
    this.farewell = { code, lastId };
    if (this.state === "gone") return;
    // On any other code http2 ends the session with an error, which tells the rest.
    if (code !== noError) return;
    const wasConnecting = this.state === "connecting";
    this.state = "ending";
    if (wasConnecting) {
      this.#fail(new Error("the node closed the connection at once"));
      return;
    }
    if (this.isIdle) this.#closeSoon();
    this.#owner.changed(this);
  }

  #fail(error: Error): void {
    if (this.state === "gone") return;
    const { farewell } = this;
    if (farewell !== undefined && farewell.code !== noError) {
      this.#lose({ error, outcome: outcomeOfFarewell(farewell.code) });
      return;
    }
    if (!this.#wasReady && this.#socket instanceof TLSSocket && this.#socket.alpnProtocol === false) {
      this.#lose({ error, outcome: failure("connect", "the node does not offer HTTP/2") });
      return;
    }
    const outcome = outcomeOfError(error);
    const isPlain = outcome.kind !== "failure" || /^(?:refused|unreachable)$/.test(outcome.reason);
    if (isPlain) this.#lose({ error, outcome });
    else this.#lose({ error, outcome: failure(this.#wasReady ? "reset" : "connect", outcome.detail) });
  }

  #lose(loss: Loss): void {
    if (this.state === "gone") return;
    this.state = "gone";
    this.#connectTimer.cancel();
    this.#idleTimer?.cancel();
    this.#pulse.close();
    const passengers = [...this.#passengers];
    this.#passengers.clear();
    for (const passenger of passengers) passenger.connectionLost(loss);
    this.#session.destroy(undefined, passengers.length === 0 ? noError : cancel);
    this.#socket.destroy();
    this.#owner.lost(this, loss, this.#wasReady);
  }
}

export const closedOnOurSide: Loss = {
  error: new Error("the connection was closed on our side"),
  outcome: ignored("closing", "closed on our side"),
};
