/**
 * One connection to the Nacos servers, kept up for as long as it has wishes: it connects to one server after the other
 * until one serves, and then has all its wishes done there.
 *
 * When to do what is decided by the `ConnectionMachine`; this is where it is done.
 */
import { fullJitterMs } from "../../core/backoff.ts";
import type { Clock, Timer } from "../../core/clock.ts";
import type { Random } from "../../core/random.ts";
import { type ConnectionAction, ConnectionMachine } from "./connection-machine.ts";
import type { NacosLogin } from "./login.ts";
import {
  answerTo,
  connectionSetup,
  type Fields,
  fieldsOf,
  NacosError,
  noRight,
  unregistered,
} from "./messages.ts";
import type { NacosServer, ResolvedNacosOptions } from "./options.ts";
import type { Payload } from "./payload.ts";
import type { NacosChannel, NacosTransport } from "./transport.ts";
import type { Wish } from "./wishes.ts";

/** For each request: what Nacos' own client allows. */
const answerMs = 3_000;
/** Pauses before a wish that was refused is tried again over the same connection. */
const backoffMs = 100;
const backoffMaxMs = 30_000;

export interface LinkOptions {
  readonly options: ResolvedNacosOptions;
  readonly transport: NacosTransport;
  readonly login: NacosLogin;
  readonly clock: Clock;
  readonly random: Random;
}

/** One channel, as long as it is the present one. */
interface Connection {
  readonly server: NacosServer;
  readonly channel: NacosChannel;
  isReady: boolean;
}

/** How a wish fares. */
interface Progress {
  failures: number;
  retry: Timer | undefined;
  /** The request that is under way, or the last one; never rejects. */
  request: Promise<void>;
}

export class NacosLink {
  readonly #given: LinkOptions;
  readonly #machine: ConnectionMachine;
  readonly #wishes: Map<Wish, Progress> = new Map();
  #connection: Connection | undefined;
  #timer: Timer | undefined;
  #requests = 0;
  #isClosed = false;

  constructor(given: LinkOptions) {
    this.#given = given;
    const names = given.options.servers.map(({ name }) => name);
    this.#machine = new ConnectionMachine(names, given.random, given.clock.now());
  }

  get isIdle(): boolean {
    return this.#wishes.size === 0;
  }

  has(isMeant: (wish: Wish) => boolean): boolean {
    return [...this.#wishes.keys()].some(isMeant);
  }

  /** Has it done now, if it is connected, and after each reconnect. */
  add(wish: Wish): void {
    this.#wishes.set(wish, { failures: 0, retry: undefined, request: Promise.resolve() });
    if (this.#connection?.isReady === true) this.#begin(wish, this.#connection);
    else this.#advance();
  }

  /** Drops the wish. What it brought about at the server stays. */
  forget(wish: Wish): void {
    this.#wishes.get(wish)?.retry?.cancel();
    this.#wishes.delete(wish);
  }

  /**
   * Drops the wish, and resolves once it is undone; without a connection it is, as it goes with the connection.
   *
   * @throws Error when the server does not undo it within `timeoutMs`.
   */
  async remove(wish: Wish, timeoutMs: number): Promise<void> {
    const progress = this.#wishes.get(wish);
    this.forget(wish);
    // A server may take two requests in either order.
    await progress?.request;
    const connection = this.#connection;
    if (connection?.isReady === true) await this.#request(connection, wish.requestType, wish.undo, timeoutMs);
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    for (const { retry } of this.#wishes.values()) retry?.cancel();
    this.#wishes.clear();
    this.#connection?.channel.close();
    this.#connection = undefined;
  }

  /** Does what is due, and sets the timer for what is next. */
  #advance(action: ConnectionAction | undefined = this.#machine.tick(this.#given.clock.now())): void {
    if (this.#isClosed) return;
    if (action !== undefined) this.#do(action);
    this.#timer?.cancel();
    const delayMs = this.#machine.dueAt - this.#given.clock.now();
    if (this.#isClosed || delayMs === Number.POSITIVE_INFINITY) return;
    this.#timer = this.#given.clock.schedule(() => this.#advance(), delayMs);
  }

  #do(action: ConnectionAction): void {
    const connection = this.#connection;
    switch (action.do) {
      case "open":
        void this.#open(action.server);
        break;
      case "restore":
        if (connection === undefined) break;
        connection.isReady = true;
        for (const wish of this.#wishes.keys()) this.#begin(wish, connection);
        break;
      case "check-health":
        if (connection !== undefined) void this.#checkHealth(connection);
        break;
      case "give-up":
        if (connection !== undefined) this.#lose(connection, new Error(action.why));
        break;
    }
  }

  async #open(name: string): Promise<void> {
    const { options, transport, clock } = this.#given;
    const server = options.servers.find((one) => one.name === name) as NacosServer;
    const channel = transport.open(server, {
      message: (payload) => this.#received(connection, payload),
      ended: (error) => this.#lose(connection, error),
    });
    const connection: Connection = { server, channel, isReady: false };
    this.#connection = connection;
    try {
      const { supportAbilityNegotiation } = await this.#request(
        connection,
        "ServerCheckRequest",
        {},
        answerMs,
      );
      if (this.#connection !== connection) return;
      channel.openStream(
        await this.#envelope(server, "ConnectionSetupRequest", connectionSetup(options.namespace)),
      );
      if (this.#connection !== connection) return;
      this.#machine.checked(supportAbilityNegotiation === true, clock.now());
      this.#advance();
    } catch (error) {
      this.#lose(connection, asError(error));
    }
  }

  async #checkHealth(connection: Connection): Promise<void> {
    const { clock } = this.#given;
    try {
      await this.#request(connection, "HealthCheckRequest", {}, answerMs);
      if (this.#connection !== connection) return;
      this.#machine.healthy(clock.now());
      this.#advance();
    } catch {
      // The machine counts them; what was wrong is said when the connection is given up.
      if (this.#connection === connection) this.#advance(this.#machine.unhealthy(clock.now()));
    }
  }

  #begin(wish: Wish, connection: Connection): void {
    const progress = this.#wishes.get(wish);
    if (progress === undefined || this.#connection !== connection) return;
    progress.retry?.cancel();
    progress.request = this.#fulfil(wish, progress, connection);
  }

  async #fulfil(wish: Wish, progress: Progress, connection: Connection): Promise<void> {
    try {
      const answer = await this.#request(connection, wish.requestType, wish.request, answerMs);
      if (this.#connection !== connection || !this.#wishes.has(wish)) return;
      wish.answered(answer);
      progress.failures = 0;
    } catch (error) {
      if (this.#connection !== connection || !this.#wishes.has(wish)) return;
      const { clock, random } = this.#given;
      const delayMs = fullJitterMs(progress.failures++, backoffMs, backoffMaxMs, random);
      progress.retry = clock.schedule(() => this.#begin(wish, connection), delayMs);
      wish.failed(this.#named(connection, error));
    }
  }

  /** Sends a request; if the token is refused, once more with another. */
  async #request(connection: Connection, type: string, fields: Fields, timeoutMs: number): Promise<Fields> {
    const { server, channel } = connection;
    for (let attempt = 1; ; attempt++) {
      const envelope = await this.#envelope(server, type, fields);
      try {
        return answerTo(type, await channel.request(envelope, timeoutMs));
      } catch (error) {
        const code = error instanceof NacosError ? error.errorCode : undefined;
        if (code === unregistered && this.#connection === connection && connection.isReady) {
          this.#lose(connection, asError(error));
        }
        if (code !== noRight || attempt > 1 || envelope.headers.accessToken === undefined) throw error;
        this.#given.login.refuse(envelope.headers.accessToken);
      }
    }
  }

  #received(connection: Connection, payload: Payload): void {
    if (this.#connection !== connection) return;
    try {
      const fields = fieldsOf(payload);
      this.#acknowledge(connection, payload.type, fields.requestId);
      this.#serve(connection, payload.type, fields);
    } catch (error) {
      const named = this.#named(connection, error);
      // It may have held news: the answer to a subscription is the whole set.
      for (const wish of [...this.#wishes.keys()]) {
        if (wish.pushed === undefined) continue;
        wish.failed(named);
        this.#begin(wish, connection);
      }
    }
  }

  #serve(connection: Connection, type: string, fields: Fields): void {
    const { clock } = this.#given;
    if (type === "SetupAckRequest") this.#advance(this.#machine.acknowledged(clock.now()));
    else if (type === "ConnectResetRequest") {
      const { serverIp, serverPort } = fields;
      const named = serverIp ? `${String(serverIp)}:${String(serverPort)}` : undefined;
      this.#lose(connection, new Error("the server sends its clients away"), named);
    } else if (type === "NotifySubscriberRequest") {
      for (const wish of this.#wishes.keys()) wish.pushed?.(fields);
    }
  }

  /** Servers take a client that does not answer its requests for dead. */
  #acknowledge({ channel }: Connection, type: string, requestId: unknown): void {
    const body = JSON.stringify({ resultCode: 200, errorCode: 0, success: true, requestId });
    channel.send({ type: type.replace(/Request$/, "Response"), headers: {}, body });
  }

  #lose(connection: Connection, error: Error, resetTo?: string): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    connection.channel.close();
    for (const { retry } of this.#wishes.values()) retry?.cancel();
    const now = this.#given.clock.now();
    if (resetTo === undefined) this.#machine.lost(now);
    else this.#machine.reset(resetTo, now);
    const named = this.#named(connection, error);
    for (const wish of [...this.#wishes.keys()]) wish.failed(named);
    this.#advance();
  }

  async #envelope(server: NacosServer, type: string, fields: Fields): Promise<Payload> {
    const accessToken = type === "ServerCheckRequest" ? undefined : await this.#given.login.token(server);
    return {
      type,
      headers: accessToken === undefined ? {} : { accessToken },
      body: JSON.stringify({ ...fields, requestId: String(++this.#requests) }),
    };
  }

  #named({ server }: Connection, cause: unknown): Error {
    return new Error(`nacos ${server.name}: ${asError(cause).message}`, { cause });
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
