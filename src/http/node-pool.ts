/**
 * The connections to one node: how many there are, which one takes the next request, and what waits for one.
 *
 * The connection that was free last is used first, so that what is not needed goes idle and closes. A request never
 * waits on a connection that is still being made for another: it waits in the pool, and takes whatever is free first.
 */
import { AsyncResource } from "node:async_hooks";
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import type { Client, Dispatcher } from "undici";
import { exponentialMs } from "../core/backoff.ts";
import { outcomeOfError } from "../core/classify.ts";
import type { Clock, Timer } from "../core/clock.ts";
import { BalancerError } from "../core/errors.ts";
import type { Random } from "../core/random.ts";
import type { AttemptCarrier, AttemptObserver } from "./attempt-observer.ts";
import { Connection, type ConnectionOwner } from "./connection.ts";
import type { ConnectionLimits, LimitWaiter } from "./connection-limits.ts";
import type { Connect, Http2 } from "./connector.ts";
import { isCalmDemanded } from "./http2-errors.ts";

/** How long no connection is made to a node that sent ENHANCE_YOUR_CALM, doubling while it goes on. */
const calmMs = 1_000;
const longestCalmMs = 30_000;
/** After our own shortage (EMFILE): while other connections serve, a new one is not tried for so long. */
const shortageMs = 100;

/** How long after the loss of a connection that is kept ready (`minPerNode`) another one is made. */
const keepReadyMs = 1_000;

export interface NodePoolOptions {
  readonly service: string;
  /** The node's address, for messages. */
  readonly address: string;
  /** What the Host header comes from. */
  readonly origin: URL;
  readonly isSecure: boolean;
  readonly http2: Http2;
  readonly perNode: number;
  readonly connectingPerNode: number;
  readonly queue: number;
  readonly queueMs: number;
  readonly idleMs: number;
  readonly maxAgeMs: number;
  readonly maxStreams: number;
  readonly minPerNode: number;
  readonly client: Client.Options;
  readonly limits: ConnectionLimits;
  readonly clock: Clock;
  readonly random: Random;
  readonly connect: Connect;
  /** Makes a pool to the same node that speaks HTTP/1.1 only: HTTP/2 has no way to hand a connection over. */
  readonly createUpgradePool: () => NodePool;
  /** Asked to close an idle connection of another node, when there are as many as there may be. */
  readonly makeRoom: () => void;
  /** Told of each HTTP/2 connection, to watch it for as long as it is usable. */
  readonly watch: (connection: Connection) => void;
}

/** How many connections a node has, by what they do. */
export interface PoolCounts {
  /** That stand. */
  readonly open: number;
  /** Of these, without a request. */
  readonly idle: number;
  /** Being made. */
  readonly connecting: number;
  /** Requests that wait for one. */
  readonly waiting: number;
}

interface Waiting {
  readonly options: Dispatcher.DispatchOptions;
  readonly until: number;
  /** The caller's async context: whoever frees a connection runs in another one. */
  readonly context: AsyncResource;
}

export class NodePool extends EventEmitter implements AttemptCarrier, ConnectionOwner, LimitWaiter {
  /** When it was last asked for a connection. */
  usedAt: number;
  readonly #options: NodePoolOptions;
  /** Connections that take requests. */
  readonly #connections: Set<Connection> = new Set();
  /** Of these, the ones with room; the last is used next. */
  readonly #free: Connection[] = [];
  /** Connections that finish what they have. */
  readonly #ending: Set<Connection> = new Set();
  readonly #waiting: Map<AttemptObserver, Waiting> = new Map();
  #queueTimer: Timer | undefined = undefined;
  #connecting = 0;
  #connect: Connect;
  /** Undefined until a connection stood. */
  #isMultiplexed: boolean | undefined;
  /** No connection is made before. */
  #restsUntil = 0;
  #restTimer: Timer | undefined = undefined;
  #calls = 0;
  #calmUntil = 0;
  #needsDrain = false;
  /** For upgrades, where the node may be spoken to in HTTP/2. */
  #upgradePool: NodePool | undefined = undefined;
  #destroyed: Error | undefined = undefined;

  constructor(options: NodePoolOptions) {
    super();
    this.#options = options;
    this.#connect = options.connect;
    this.usedAt = options.clock.now();
    if (!options.isSecure) this.#isMultiplexed = options.http2 === "prior-knowledge";
    else if (options.http2 === "never") this.#isMultiplexed = false;
  }

  get counts(): PoolCounts {
    let idle = 0;
    for (const connection of this.#connections) if (connection.active === 0) idle++;
    const upgrades = this.#upgradePool?.counts;
    return {
      open: this.#connections.size + this.#ending.size + (upgrades?.open ?? 0),
      idle: idle + (upgrades?.idle ?? 0),
      connecting: this.#connecting + (upgrades?.connecting ?? 0),
      waiting: this.#waiting.size + (upgrades?.waiting ?? 0),
    };
  }

  get isEmpty(): boolean {
    const { open, connecting, waiting } = this.counts;
    return open + connecting + waiting === 0;
  }

  /** Sends a request, now or when a connection is free. False when all are busy: "drain" follows. */
  dispatch(options: Dispatcher.DispatchOptions, observer: AttemptObserver): boolean {
    const now = this.#options.clock.now();
    this.usedAt = now;
    if (options.upgrade && this.#isMultiplexed !== false && this.#options.isSecure) {
      this.#upgradePool ??= this.#options.createUpgradePool();
      return this.#upgradePool.dispatch(options, observer);
    }
    observer.carrier = this;
    const connection = this.#takeFree(now);
    if (connection !== undefined) this.#send(connection, options, observer, now);
    else this.#enqueue(options, observer, now);
    const isBusy =
      this.#free.length === 0 && this.#connections.size + this.#connecting >= this.#options.perNode;
    if (isBusy) this.#needsDrain = true;
    return !isBusy;
  }

  // What the observer of a request tells.

  /** Its request is over, well or not. */
  ended(observer: AttemptObserver, answered: boolean): void {
    const { connection } = observer;
    if (connection === undefined) return;
    connection.active--;
    if (answered) connection.answered++;
    if (connection.active > 0) return;
    connection.idleSince = this.#options.clock.now();
    // What undici holds besides is of requests that nobody waits for.
    if (connection.state === "usable" && this.#mustGo(connection)) this.#retire(connection);
  }

  /** Its connection was lost before the request began: it goes out on another one. False if that cannot be. */
  sendAgain(observer: AttemptObserver, options: Dispatcher.DispatchOptions): boolean {
    if (this.#destroyed !== undefined) return false;
    observer.connection = undefined;
    this.dispatch(options, observer);
    return true;
  }

  /** Nobody waits for its answer any more. */
  abandoned(observer: AttemptObserver, ranOut: boolean): void {
    const { connection } = observer;
    if (connection === undefined) {
      this.#waiting.delete(observer);
      if (this.#waiting.size === 0) this.#options.limits.forget(this);
      return;
    }
    if (!ranOut || !connection.isMultiplexed || connection.state !== "usable") return;
    const now = this.#options.clock.now();
    connection.listen(now);
    if (connection.heardAt > observer.dispatchedAt) return;
    // Nothing came since the request was sent, of any stream: it may be dead, and must not take the next call.
    connection.suspectSince ??= now;
    this.#unfree(connection);
    // Without PINGs nothing would ever clear it of that.
    if (this.#options.client.h2Options?.pingInterval === 0) this.#retire(connection);
  }

  // What connections tell.

  roomAppeared(connection?: Connection): void {
    if (connection === undefined) {
      this.#grow();
      return;
    }
    if (connection.state !== "usable" || connection.isFree) return;
    if (this.#mustGo(connection)) {
      if (connection.active === 0) this.#retire(connection);
      return;
    }
    if (connection.suspectSince !== undefined) return;
    this.#free.push(connection);
    connection.isFree = true;
    this.#serveWaiting();
    if (this.#needsDrain && this.#free.length > 0) {
      this.#needsDrain = false;
      this.emit("drain", this.#options.origin, [connection.client]);
    }
  }

  connectionLost(connection: Connection, error: Error): void {
    this.#unfree(connection);
    this.#connections.delete(connection);
    if (!connection.socket.destroyed) this.#ending.add(connection);
    else this.#ending.delete(connection);
    this.emit("disconnect", this.#options.origin, [connection.client], error);
    if (this.#destroyed !== undefined) return;
    if (isCalmDemanded(error)) this.#calm(error);
    if (this.#waiting.size > 0) this.#grow();
    // A peer that closes what it has just accepted must not be connected to in a loop.
    else if (this.#options.minPerNode > 0) this.#growIn(keepReadyMs);
  }

  /** The peer of a suspect connection was heard. */
  cleared(connection: Connection): void {
    connection.suspectSince = undefined;
    this.roomAppeared(connection);
  }

  /** Closes connections that have been idle or alive for too long, and makes those that are to be kept ready. */
  sweep(now: number): void {
    const { idleMs, minPerNode } = this.#options;
    for (const connection of [...this.#connections]) {
      if (now >= connection.expiresAt) this.#retire(connection);
      else if (
        connection.active === 0 &&
        now - connection.idleSince >= idleMs &&
        this.#connections.size > minPerNode
      ) {
        this.#retire(connection);
      }
    }
    if (minPerNode > 0) this.#grow();
    this.#upgradePool?.sweep(now);
  }

  /** Closes a connection that nothing is sent over; false if there is none. */
  closeIdle(): boolean {
    const idle = this.#free.find((connection) => connection.active === 0);
    if (idle === undefined) return this.#upgradePool?.closeIdle() ?? false;
    this.#retire(idle);
    return true;
  }

  closeAllIdle(): void {
    for (const connection of [...this.#connections]) if (connection.active === 0) this.#retire(connection);
    this.#upgradePool?.closeAllIdle();
  }

  /** Further connections are made by `connect`; those that stand finish what they have and close. */
  renew(connect: Connect, connectForUpgrades: Connect): void {
    this.#connect = connect;
    this.#upgradePool?.renew(connectForUpgrades, connectForUpgrades);
    for (const connection of [...this.#connections]) this.#retire(connection);
  }

  /** Ends all requests and connections. */
  destroy(error: Error): void {
    if (this.#destroyed !== undefined) return;
    this.#destroyed = error;
    this.#queueTimer?.cancel();
    this.#restTimer?.cancel();
    this.#options.limits.forget(this);
    this.#upgradePool?.destroy(error);
    this.#failWaiting(error);
    for (const connection of [...this.#connections, ...this.#ending]) {
      connection.client.destroy(error, () => {});
      connection.destroy(error);
    }
  }

  #send(
    connection: Connection,
    options: Dispatcher.DispatchOptions,
    observer: AttemptObserver,
    now: number,
  ): void {
    const wasFree = connection.isFree;
    if (connection.active === 0) connection.idleBeforeMs = now - connection.idleSince;
    observer.connection = connection;
    observer.dispatchedAt = now;
    observer.options = options;
    connection.active++;
    // An HTTP/1.1 connection is busy from here on, also for whoever calls from within.
    if (connection.isMultiplexed) connection.listen(now);
    else this.#unfree(connection);
    let hasRoom = connection.client.dispatch(options, observer);
    // undici refused the call as malformed: the connection is what it was before, and no "drain" will come.
    if (!hasRoom && observer.carrier === undefined && connection.client.stats.size === connection.active) {
      hasRoom = connection.isMultiplexed ? wasFree : connection.active === 0;
    }
    if (hasRoom) this.roomAppeared(connection);
    else this.#unfree(connection);
  }

  #takeFree(now: number): Connection | undefined {
    for (let connection = this.#free.at(-1); connection !== undefined; connection = this.#free.at(-1)) {
      if (connection.state === "usable" && now < connection.expiresAt) return connection;
      this.#retire(connection);
    }
    return undefined;
  }

  #unfree(connection: Connection): void {
    if (!connection.isFree) return;
    connection.isFree = false;
    if (this.#free.at(-1) === connection) this.#free.pop();
    else this.#free.splice(this.#free.indexOf(connection), 1);
  }

  /** Whether it should close as soon as it is idle. */
  #mustGo(connection: Connection): boolean {
    const { clock, limits } = this.#options;
    if (clock.now() >= connection.expiresAt) return true;
    // Another node's calls wait for what this one has to spare.
    return limits.isFull && limits.hasWaiters && this.#waiting.size === 0 && connection.active === 0;
  }

  #retire(connection: Connection): void {
    if (connection.state !== "usable") {
      this.#unfree(connection);
      return;
    }
    this.#unfree(connection);
    this.#connections.delete(connection);
    this.#ending.add(connection);
    connection.retire();
  }

  #enqueue(options: Dispatcher.DispatchOptions, observer: AttemptObserver, now: number): void {
    const { queue, queueMs, clock, service, address } = this.#options;
    if (this.#destroyed !== undefined) {
      observer.failed(this.#destroyed, "unsent");
      return;
    }
    if (this.#calmUntil > now && this.#connections.size === 0) {
      observer.failed(new Error("HTTP/2: the node asked for calm (ENHANCE_YOUR_CALM)"), "unsent");
      return;
    }
    if (this.#waiting.size >= queue) {
      const message = `${address} has all its connections in use, and ${queue} calls wait for one`;
      observer.failed(new BalancerError("ERR_OVERLOADED", service, message), "unsent");
      return;
    }
    const context = new AsyncResource("EVENKEEL_WAITING_CALL");
    this.#waiting.set(observer, { options, until: now + queueMs, context });
    if (this.#queueTimer === undefined) {
      this.#queueTimer = clock.schedule(() => this.#expireWaiting(), queueMs);
    }
    this.#grow();
  }

  #serveWaiting(): void {
    if (this.#waiting.size === 0) return;
    const now = this.#options.clock.now();
    for (const [observer, { options, context }] of this.#waiting) {
      const connection = this.#takeFree(now);
      if (connection === undefined) return;
      this.#waiting.delete(observer);
      context.runInAsyncScope(() => this.#send(connection, options, observer, now));
    }
    if (this.#waiting.size === 0) this.#options.limits.forget(this);
  }

  #expireWaiting(): void {
    const { clock, queueMs, service, address } = this.#options;
    this.#queueTimer = undefined;
    const now = clock.now();
    // How long a connection may take is `connectMs`, and a node that makes none is at fault for it.
    const isConnecting = this.#connections.size === 0 && this.#connecting > 0;
    for (const [observer, { until }] of this.#waiting) {
      if (isConnecting || until > now) break;
      this.#waiting.delete(observer);
      const message = `${address} had no connection free within ${queueMs} ms`;
      observer.failed(new BalancerError("ERR_OVERLOADED", service, message), "unsent");
    }
    const [next] = this.#waiting.values();
    if (next === undefined || this.#queueTimer !== undefined) return;
    const delayMs = isConnecting ? queueMs : next.until - now;
    this.#queueTimer = clock.schedule(() => this.#expireWaiting(), Math.max(1, delayMs));
  }

  #failWaiting(error: Error): void {
    const observers = [...this.#waiting.keys()];
    this.#waiting.clear();
    for (const observer of observers) observer.failed(error, "unsent");
  }

  /** Makes as many connections as are wanted and allowed. */
  #grow(): void {
    const { perNode, connectingPerNode, limits, clock } = this.#options;
    if (this.#destroyed !== undefined) return;
    const now = clock.now();
    if (this.#restsUntil > now) {
      this.#growIn(this.#restsUntil - now);
      return;
    }
    // Until the first one stands it is not known how many requests one can carry.
    const atOnce = this.#isMultiplexed === undefined ? 1 : connectingPerNode;
    while (
      this.#connecting < atOnce &&
      this.#connections.size + this.#connecting < perNode &&
      this.#connecting < this.#wanted()
    ) {
      if (!limits.start(this, this.#connections.size + this.#connecting === 0)) {
        if (limits.isFull) this.#options.makeRoom();
        return;
      }
      this.#makeConnection();
    }
  }

  #growIn(delayMs: number): void {
    this.#restTimer ??= this.#options.clock.schedule(() => {
      this.#restTimer = undefined;
      this.#grow();
    }, delayMs);
  }

  /** How many connections should be in the making. */
  #wanted(): number {
    const { minPerNode, maxStreams } = this.#options;
    const missing = minPerNode - this.#connections.size;
    if (this.#isMultiplexed !== true) return Math.max(this.#waiting.size, missing);
    // One that takes no second request before the peer's SETTINGS are here will take many as soon as they are.
    let served = 0;
    for (const connection of this.#connections) if (!connection.isSettled) served += maxStreams;
    return Math.max(Math.ceil((this.#waiting.size - served) / maxStreams), missing);
  }

  #makeConnection(): void {
    const { limits, clock, maxAgeMs, random, origin, client, http2, isSecure, address } = this.#options;
    this.#connecting++;
    this.#connect((error, socket) => {
      this.#connecting--;
      if (socket === null) {
        limits.failed();
        this.#connectFailed(error as Error);
        return;
      }
      limits.connected();
      socket.once("close", () => limits.closed());
      if (this.#destroyed !== undefined) {
        socket.destroy();
        return;
      }
      const now = clock.now();
      // Spread, so that connections made together are not all replaced together.
      const expiresAt = now + maxAgeMs * (1 - 0.2 * random());
      const connection = new Connection(socket, origin, client, this, now, expiresAt);
      if (isSecure && http2 === "prior-knowledge" && !connection.isMultiplexed) {
        const refused = new Error(`${address} does not speak HTTP/2`);
        connection.destroy(refused);
        this.#connectFailed(refused);
        return;
      }
      this.#isMultiplexed = connection.isMultiplexed;
      this.#connections.add(connection);
      this.#forgetWhenClosed(connection, socket);
      if (connection.isMultiplexed) this.#options.watch(connection);
      this.emit("connect", origin, [connection.client]);
      this.roomAppeared(connection);
      this.#grow();
    });
  }

  #forgetWhenClosed(connection: Connection, socket: Socket): void {
    socket.once("close", () => this.#ending.delete(connection));
  }

  #connectFailed(error: Error): void {
    const { origin, clock } = this.#options;
    this.emit("connectionError", origin, [], error);
    if (this.#destroyed !== undefined) return;
    const isShortage = outcomeOfError(error).reason === "shortage";
    if (this.#connections.size > 0) {
      // The others serve on. One call is told, so that the cluster learns of it; for our own shortage none needs to.
      if (isShortage) {
        this.#restsUntil = clock.now() + shortageMs;
      } else {
        const [first] = this.#waiting.keys();
        if (first !== undefined) {
          this.#waiting.delete(first);
          first.failed(error, "unsent");
        }
      }
    } else {
      this.#failWaiting(error);
    }
    if (this.#waiting.size > 0) this.#grow();
  }

  #calm(error: Error): void {
    const now = this.#options.clock.now();
    if (now - this.#calmUntil > longestCalmMs) this.#calls = 0;
    this.#calmUntil = now + exponentialMs(this.#calls++, calmMs, longestCalmMs);
    this.#restsUntil = this.#calmUntil;
    if (this.#connections.size === 0) this.#failWaiting(error);
  }
}
