/**
 * One connection to a node: a socket, and the undici Client that speaks HTTP over it.
 *
 * undici's own Pool hides its connections: they cannot be counted, aged, suspected or closed one by one, and a Client
 * makes a new connection by itself whenever one is lost. Here a Client is given one socket and is finished with it.
 * What undici then puts back into its queue comes out as `ConnectionLost`, and goes where the balancer says.
 */
import type { Socket } from "node:net";
import { type buildConnector, Client } from "undici";
import { connectNow, dropStrayStreams, freeze } from "./undici-internals.ts";

/** Ends the requests of a connection that is lost; what was the matter is its `cause`. */
export class ConnectionLost extends Error {
  override readonly name: string = "ConnectionLost";
  override readonly cause: Error;
  /** Requests that were sent and come back with this were provably not processed (GOAWAY below their stream). */
  readonly unprocessed: boolean;

  constructor(cause: Error, unprocessed: boolean) {
    super(cause.message);
    this.cause = cause;
    this.unprocessed = unprocessed;
  }
}

/** What a connection tells its pool. */
export interface ConnectionOwner {
  /** Another request may be sent. */
  roomAppeared(connection: Connection): void;
  /** Nothing more can be sent; called once. What the peer has accepted may still be answered (GOAWAY). */
  connectionLost(connection: Connection, error: Error): void;
}

export class Connection {
  readonly client: Client;
  readonly socket: Socket;
  /** HTTP/2: many requests at once. */
  readonly isMultiplexed: boolean;
  /** When it should be replaced, on the balancer's clock. */
  readonly expiresAt: number;
  /** Requests under way, those that wait for their turn on it included. */
  active = 0;
  /** Answers that came over it, whole. */
  answered = 0;
  /** undici has said at least once that there is room: over HTTP/2, the peer's SETTINGS are here. */
  isSettled = false;
  /** undici said that there is no room, and not yet that there is again. */
  saidBusy = false;
  /** It is among its pool's connections with room. */
  isFree = false;
  /** When its last request ended. */
  idleSince: number;
  /** How long it had been idle before its latest request. */
  idleBeforeMs = 0;
  /** Since when it takes no more requests: one ran out of time on it, and nothing was heard meanwhile. */
  suspectSince: number | undefined = undefined;
  /** When something last came from the peer, as far as has been looked. */
  heardAt: number;
  state: "usable" | "retired" | "gone" = "usable";

  readonly #owner: ConnectionOwner;
  #isAttached = false;
  #loss: ConnectionLost | undefined = undefined;
  #bytesSeen = 0;

  /**
   * @param origin what the Host header comes from.
   * @param servername of all requests over TLS.
   * @param options of undici's Client, but for `connect`.
   */
  constructor(
    socket: Socket,
    origin: URL,
    servername: string | undefined,
    options: Client.Options,
    owner: ConnectionOwner,
    now: number,
    expiresAt: number,
  ) {
    this.socket = socket;
    this.isMultiplexed = (socket as { alpnProtocol?: unknown }).alpnProtocol === "h2";
    this.expiresAt = expiresAt;
    this.idleSince = now;
    this.heardAt = now;
    this.#owner = owner;
    this.client = new Client(origin, { ...options, connect: (_given, callback) => this.#attach(callback) });
    this.client.on("drain", () => {
      this.isSettled = true;
      this.saidBusy = false;
      this.#owner.roomAppeared(this);
    });
    this.client.on("disconnect", (_origin, _targets, error) => this.#lost(error));
    // Before undici has the socket, and for what it does not tell of.
    socket.once("close", () => this.#closed());
    // So that an HTTP/2 peer's SETTINGS and any peer's FIN are read before the first request.
    connectNow(this.client, servername);
  }

  /** Whether undici reads it: before, the peer's silence means nothing. */
  get isAttached(): boolean {
    return this.#isAttached;
  }

  /** Looks whether anything came from the peer since the last look. */
  listen(now: number): boolean {
    const { bytesRead } = this.socket;
    if (bytesRead === this.#bytesSeen) return false;
    this.#bytesSeen = bytesRead;
    this.heardAt = now;
    return true;
  }

  /** Takes no more requests, and closes when those under way have ended. */
  retire(): void {
    if (this.state !== "usable") return;
    this.state = "retired";
    // A client that never got its socket cannot close it.
    if (this.#isAttached) this.client.close(() => {});
    else this.socket.destroy();
  }

  /** Closes at once. What is under way fails with `error`. */
  destroy(error: Error): void {
    this.socket.destroy(error);
  }

  #attach(callback: buildConnector.Callback): void {
    if (this.#isAttached || this.state === "gone") {
      // undici lost the socket without a word, and wants another one.
      this.#lost(new Error("the connection was closed"));
      return;
    }
    this.#isAttached = true;
    // undici takes a socket to keep the process alive until it says otherwise.
    this.socket.ref();
    // Not at once: undici's Client does not go on with its queue from within its connector.
    queueMicrotask(() => {
      callback(null, this.socket);
      if (this.isMultiplexed) dropStrayStreams(this.socket);
    });
  }

  #lost(error: Error): void {
    if (this.state === "gone") return;
    this.state = "gone";
    // On GOAWAY undici lets go of a session that still answers what the peer accepted, and puts the rest back into its
    // queue. In all other cases the socket is closed, and what is in the queue may have been processed.
    const isGoAway = !this.socket.destroyed;
    this.#loss = new ConnectionLost(error, isGoAway);
    if (isGoAway) freeze(this.client, this.#loss);
    else this.client.destroy(this.#loss, () => {});
    this.#owner.connectionLost(this, error);
  }

  #closed(): void {
    this.#lost(new Error("the connection was closed"));
    // Of a session that was ended by GOAWAY, what is left now was not answered.
    if (this.#loss?.unprocessed === true) this.client.destroy(this.#loss.cause, () => {});
  }
}
