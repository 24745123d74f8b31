/** A server that is to stop without losing a call: tells its clients to go elsewhere, closes, and ends what does not. */
import {
  type IncomingMessage,
  Server as PlainHttpServer,
  type RequestListener,
  type ServerResponse,
} from "node:http";
import type { ServerHttp2Session } from "node:http2";
import { Server as HttpsServer } from "node:https";
import { type AddressInfo, Server as NetServer, type Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Server as TlsServer } from "node:tls";
import type { Clock } from "../core/clock.ts";
import { sleep } from "../core/sleep.ts";

/** Servers of node:http, node:https, node:http2, node:net, and whatever else tells its address and closes. */
export interface RegisteredServer {
  address(): AddressInfo | string | null;
  /** Takes no new connections, and calls back, or keeps its promise, when the last one has ended. */
  close?(callback?: (error?: Error) => void): unknown;
  /** Ends all connections, whatever they carry. */
  closeAllConnections?(): void;
}

/** What servers of Node.js have besides, so far as it is used here. */
type Emitting = RegisteredServer & {
  on(event: string, listener: (...values: never[]) => void): unknown;
  prependListener(event: string, listener: (...values: never[]) => void): unknown;
  off(event: string, listener: (...values: never[]) => void): unknown;
  listenerCount(event: string): number;
  closeIdleConnections?(): void;
};

/** How often it is looked whether a server listens that does not tell of it: not all that have an address emit events. */
const lookMs = 50;
/** How often, while closing, connections that have become idle are closed. */
const sweepMs = 100;
/** The largest number of a stream: "no new ones, but all that are on their way will be served" (RFC 9113, 6.8). */
const anyStream = 2 ** 31 - 1;

export class Served {
  readonly #server: RegisteredServer;
  readonly #emitting: Emitting | undefined;
  readonly #clock: Clock;
  /**
   * Answers that have not ended, of each HTTP/1 connection: those without headers yet can still tell their client to go.
   * One that waits for an earlier one has no socket, and before Node.js 24 it does not end when the connection does.
   */
  readonly #responses: Map<Socket, Set<ServerResponse>> = new Map();
  readonly #sessions: Set<ServerHttp2Session> = new Set();
  readonly #sockets: Set<Socket> = new Set();
  /** Counts connections. */
  #accepted = 0;
  #isLeaving = false;
  /** There is no connection left, or nobody waits for those that are. */
  readonly #ended: AbortController = new AbortController();
  readonly #listeners: (readonly [event: string, listener: (...values: never[]) => void])[] = [];

  constructor(server: RegisteredServer, clock: Clock) {
    this.#server = server;
    this.#clock = clock;
    this.#emitting = isEmitting(server) ? server : undefined;
    this.#listen("connection", (socket: Socket) => {
      this.#accepted++;
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    this.#listen("session", (session: ServerHttp2Session) => this.#track(session));
    // To ask for requests turns an HTTP/2 server into one of requests; those wait until somebody else has asked.
    if (server instanceof PlainHttpServer || server instanceof HttpsServer) {
      this.#listen("request", this.#onRequest);
    }
  }

  get isSecure(): boolean {
    return this.#server instanceof TlsServer;
  }

  /** Where it listens; undefined while it does not. */
  get bound(): AddressInfo | string | undefined {
    return this.#server.address() ?? undefined;
  }

  get isListening(): boolean {
    try {
      return this.bound !== undefined;
    } catch {
      // Sockets that are closed have no address to tell.
      return false;
    }
  }

  /** Calls back when the server has closed, if it tells of that. */
  onClosed(callback: () => void): void {
    this.#listen("close", callback);
  }

  /** Resolves when it listens, or the signal is aborted. */
  async listening(signal: AbortSignal): Promise<void> {
    const heard = new AbortController();
    const stop = (): void => heard.abort();
    signal.addEventListener("abort", stop);
    this.#emitting?.on("listening", stop);
    while (!signal.aborted && this.bound === undefined) {
      if (heard.signal.aborted) break;
      await sleep(this.#clock, lookMs, heard.signal);
    }
    this.#emitting?.off("listening", stop);
    signal.removeEventListener("abort", stop);
  }

  /** From now on each answer, and each HTTP/2 session, tells its client to go elsewhere. All are still served. */
  sendAway(): void {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    for (const responses of this.#responses.values()) {
      for (const response of responses) if (!response.headersSent) sayClose(response);
    }
    for (const session of this.#sessions) goAway(session);
    const isTold = this.#listeners.some(([event]) => event === "request");
    if (!isTold && (this.#emitting?.listenerCount("request") ?? 0) > 0)
      this.#listen("request", this.#onRequest);
  }

  /**
   * Takes no connections any more, and resolves when the last one has ended.
   *
   * @param failed is told when the server could not be closed; nothing is waited for then.
   */
  async close(failed: (error: unknown) => void): Promise<void> {
    this.sendAway();
    await this.#catchUp();
    const stop = (): void => this.#ended.abort();
    const fail = (error: unknown): void => {
      failed(error);
      stop();
    };
    try {
      // The only error that a server of Node.js calls back with is that it was closed before.
      const result = this.#server.close?.(stop);
      if (result instanceof Promise) void result.then(stop, fail);
      else if (this.#server.close === undefined) stop();
    } catch (error) {
      fail(error);
    }
    for (const session of this.#sessions) session.close();
    while (!this.#ended.signal.aborted) {
      // What was in use a moment ago may have been told nothing.
      this.#emitting?.closeIdleConnections?.();
      await sleep(this.#clock, sweepMs, this.#ended.signal);
    }
  }

  /**
   * Takes in what has reached this machine and not yet this program: connections that the kernel holds for it, which are
   * reset when the server closes, and requests on connections that look idle. Busy, as under a load that a restart is to
   * survive, it has many: one is accepted in each turn of the event loop.
   */
  async #catchUp(): Promise<void> {
    if (!(this.#server instanceof NetServer)) return;
    for (let before = -1; before !== this.#accepted && !this.#ended.signal.aborted; ) {
      before = this.#accepted;
      // The first may come before this turn has looked at its sockets.
      await nextTurn();
      await nextTurn();
    }
  }

  /** Ends all connections, whatever they carry; `close` waits no longer. */
  destroy(): void {
    this.#server.closeAllConnections?.();
    for (const session of this.#sessions) session.destroy();
    for (const socket of this.#sockets) socket.destroy();
    this.#ended.abort();
  }

  /** Takes its hands off the server. */
  release(): void {
    for (const [event, listener] of this.#listeners.splice(0)) this.#emitting?.off(event, listener);
  }

  readonly #onRequest: RequestListener = (request: IncomingMessage, response: ServerResponse) => {
    // HTTP/2 has no connection headers: its sessions are told.
    if (request.httpVersionMajor >= 2) return;
    if (this.#isLeaving) return sayClose(response);
    const responses = this.#responsesOver(request.socket);
    responses.add(response);
    response.once("close", () => responses.delete(response));
  };

  #responsesOver(socket: Socket): Set<ServerResponse> {
    const known = this.#responses.get(socket);
    if (known !== undefined) return known;
    const responses = new Set<ServerResponse>();
    this.#responses.set(socket, responses);
    socket.once("close", () => this.#responses.delete(socket));
    return responses;
  }

  #track(session: ServerHttp2Session): void {
    this.#sessions.add(session);
    session.once("close", () => this.#sessions.delete(session));
    // With its first stream, as a client that is sent away before that would only come back.
    session.once("stream", () => {
      if (this.#isLeaving) goAway(session);
    });
  }

  #listen(event: string, listener: (...values: never[]) => void): void {
    if (this.#emitting === undefined) return;
    // Before the server's own listeners: what these send has its headers then.
    this.#emitting.prependListener(event, listener);
    this.#listeners.push([event, listener]);
  }
}

function sayClose(response: ServerResponse): void {
  response.setHeader("connection", "close");
}

function goAway(session: ServerHttp2Session): void {
  if (!session.closed && !session.destroyed) session.goaway(0, anyStream);
}

function isEmitting(server: RegisteredServer): server is Emitting {
  return "prependListener" in server && typeof server.prependListener === "function";
}
