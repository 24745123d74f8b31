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
import { connectionSetup, type Fields, fieldsOf } from "./messages.ts";
import type { NacosServer, ResolvedNacosOptions } from "./options.ts";
import type { Payload } from "./payload.ts";
import { isUnregistered, namedError, Session } from "./session.ts";
import type { NacosTransport } from "./transport.ts";
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

/** How a wish fares. */
interface Progress {
  failures: number;
  retry: Timer | undefined;
  /** The request that is under way, or the last one; never rejects. */
  request: Promise<void>;
}

interface Undoing {
  readonly wish: Wish;
  /** Never rejects. */
  readonly over: Promise<void>;
}

export class NacosLink {
  readonly #given: LinkOptions;
  readonly #machine: ConnectionMachine;
  readonly #wishes: Map<Wish, Progress> = new Map();
  /** What is being undone, the last of each subject. */
  readonly #undoing: Map<string, Undoing> = new Map();
  #session: Session | undefined;
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(given: LinkOptions) {
    this.#given = given;
    const names = given.options.servers.map(({ name }) => name);
    this.#machine = new ConnectionMachine(names, given.random, given.clock.now());
  }

  /** Nobody has a wish, and nothing is being undone; `except` does not count. */
  isIdle(except?: Wish): boolean {
    const wishes = [...this.#wishes.keys(), ...[...this.#undoing.values()].map(({ wish }) => wish)];
    return wishes.every((wish) => wish === except);
  }

  has(isMeant: (wish: Wish) => boolean): boolean {
    return [...this.#wishes.keys()].some(isMeant);
  }

  /** Has it done now, if it is connected, and after each reconnect. */
  add(wish: Wish): void {
    this.#wishes.set(wish, { failures: 0, retry: undefined, request: Promise.resolve() });
    if (this.#session?.isReady === true) this.#begin(wish, this.#session);
    else this.#advance();
  }

  /** Drops the wish, also while it is being undone. What it brought about at the server stays. */
  forget(wish: Wish): void {
    this.#wishes.get(wish)?.retry?.cancel();
    this.#wishes.delete(wish);
    if (this.#undoing.get(subjectOf(wish))?.wish === wish) this.#undoing.delete(subjectOf(wish));
  }

  /**
   * Drops the wish, and resolves once it is undone; without a connection it is, as it goes with the connection. Does
   * nothing for one that was dropped before.
   *
   * @throws Error when the server does not undo it within `timeoutMs`.
   */
  async remove(wish: Wish, timeoutMs: number): Promise<void> {
    if (!this.#wishes.has(wish)) return;
    const undone = this.#undo(wish, timeoutMs);
    const undoing = { wish, over: undone.catch(() => {}) };
    const subject = subjectOf(wish);
    this.#undoing.set(subject, undoing);
    try {
      await undone;
    } finally {
      if (this.#undoing.get(subject) === undoing) this.#undoing.delete(subject);
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    for (const { retry } of this.#wishes.values()) retry?.cancel();
    this.#wishes.clear();
    this.#session?.close();
    this.#session = undefined;
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
    const session = this.#session;
    switch (action.do) {
      case "open":
        void this.#open(action.server);
        break;
      case "restore":
        if (session === undefined) break;
        session.isReady = true;
        for (const wish of this.#wishes.keys()) this.#begin(wish, session);
        break;
      case "check-health":
        if (session !== undefined) void this.#checkHealth(session);
        break;
      case "give-up":
        if (session !== undefined) this.#lose(session, new Error(action.why));
        break;
    }
  }

  async #open(name: string): Promise<void> {
    const { options, transport, login, clock } = this.#given;
    const server = options.servers.find((one) => one.name === name) as NacosServer;
    let session: Session;
    try {
      const channel = transport.open(server, {
        message: (payload) => this.#received(session, payload),
        ended: (error) => this.#lose(session, error),
      });
      session = new Session(server, channel, login);
    } catch (error) {
      this.#startOver(namedError(server, error));
      return;
    }
    this.#session = session;
    try {
      const answer = await session.request("ServerCheckRequest", {}, answerMs);
      if (this.#session !== session) return;
      const setUp = await session.prepareSetup(connectionSetup(options.namespace));
      if (this.#session !== session) return;
      setUp();
      this.#machine.checked(answer.supportAbilityNegotiation === true, clock.now());
      this.#advance();
    } catch (error) {
      this.#lose(session, error);
    }
  }

  async #checkHealth(session: Session): Promise<void> {
    const { clock } = this.#given;
    try {
      await session.request("HealthCheckRequest", {}, answerMs);
      if (this.#session !== session) return;
      this.#machine.healthy(clock.now());
      this.#advance();
    } catch (error) {
      if (this.#session !== session) return;
      if (isUnregistered(error)) this.#lose(session, error);
      // The machine counts them; what was wrong is said when the connection is given up.
      else this.#advance(this.#machine.unhealthy(clock.now()));
    }
  }

  async #undo(wish: Wish, timeoutMs: number): Promise<void> {
    const progress = this.#wishes.get(wish);
    this.forget(wish);
    // A server may take two requests in either order.
    await progress?.request;
    const session = this.#session;
    if (session?.isReady === true) await session.request(wish.requestType, wish.undo, timeoutMs);
  }

  #begin(wish: Wish, session: Session): void {
    const progress = this.#wishes.get(wish);
    if (progress === undefined || this.#session !== session) return;
    progress.retry?.cancel();
    progress.request = this.#fulfil(wish, progress, session);
  }

  async #fulfil(wish: Wish, progress: Progress, session: Session): Promise<void> {
    // To the server it is the same subscription or instance: undone after this, it would be gone again.
    await this.#undoing.get(subjectOf(wish))?.over;
    if (this.#session !== session || !this.#wishes.has(wish)) return;
    try {
      const answer = await session.request(wish.requestType, wish.request, answerMs);
      if (this.#session !== session || !this.#wishes.has(wish)) return;
      wish.answered(answer);
      progress.failures = 0;
    } catch (error) {
      if (this.#session !== session || !this.#wishes.has(wish)) return;
      this.#beginLater(wish, progress, session);
      wish.failed(session.named(error));
    }
  }

  #beginLater(wish: Wish, progress: Progress, session: Session): void {
    const { clock, random } = this.#given;
    const delayMs = fullJitterMs(progress.failures++, backoffMs, backoffMaxMs, random);
    progress.retry?.cancel();
    progress.retry = clock.schedule(() => this.#begin(wish, session), delayMs);
  }

  #received(session: Session, payload: Payload): void {
    if (this.#session !== session) return;
    try {
      const fields = fieldsOf(payload);
      session.acknowledge(payload.type, fields.requestId);
      this.#serve(session, payload.type, fields);
    } catch (error) {
      const named = session.named(error);
      // It may have held news: the answer to a subscription is the whole set.
      for (const [wish, progress] of [...this.#wishes]) {
        if (wish.pushed === undefined) continue;
        this.#beginLater(wish, progress, session);
        wish.failed(named);
      }
    }
  }

  #serve(session: Session, type: string, fields: Fields): void {
    const { clock } = this.#given;
    if (type === "SetupAckRequest") this.#advance(this.#machine.acknowledged(clock.now()));
    else if (type === "ConnectResetRequest") {
      const { serverIp, serverPort } = fields;
      const named = serverIp ? `${String(serverIp)}:${String(serverPort)}` : undefined;
      this.#lose(session, new Error("the server sends its clients away"), named);
    } else if (type === "NotifySubscriberRequest") {
      for (const [wish, progress] of this.#wishes) {
        if (wish.pushed?.(fields) === true) this.#beginLater(wish, progress, session);
      }
    }
  }

  #lose(session: Session, error: unknown, resetTo?: string): void {
    if (this.#session !== session) return;
    this.#session = undefined;
    session.close();
    this.#startOver(session.named(error), resetTo);
  }

  #startOver(error: Error, resetTo?: string): void {
    for (const { retry } of this.#wishes.values()) retry?.cancel();
    const now = this.#given.clock.now();
    if (resetTo === undefined) this.#machine.lost(now);
    else this.#machine.reset(resetTo, now);
    for (const wish of [...this.#wishes.keys()]) wish.failed(error);
    this.#advance();
  }
}

/** What a server tells the wishes of one connection apart by. */
function subjectOf({ requestType, key }: Wish): string {
  return `${requestType} ${key.service}`;
}
