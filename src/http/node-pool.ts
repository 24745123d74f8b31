/**
 * The connections to one node: which of them takes the next request, and when one has to go.
 *
 * The connection that was free last is used first, so that what is not needed goes idle and closes. A request never
 * waits on a connection that is still being made for another: it waits in line, and takes whatever is free first.
 */
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import type { Client, Dispatcher } from "undici";
import { outcomeOfError } from "../core/classify.ts";
import type { ConnectionCounts } from "../core/observation.ts";
import type { Random } from "../core/random.ts";
import type { AttemptCarrier, AttemptObserver } from "./attempt-observer.ts";
import { Connection, type ConnectionOwner } from "./connection.ts";
import { type ConnectionDemand, ConnectionMaker, type ConnectionMakerOptions } from "./connection-maker.ts";
import { ConnectionSet } from "./connection-set.ts";
import type { Connect, Http2 } from "./connector.ts";
import { withoutConnectionHeaders } from "./headers.ts";
import { isCalmDemanded } from "./http2-errors.ts";
import { WaitingLine, type WaitingLineOptions } from "./waiting-line.ts";

/** After our own shortage (EMFILE): while other connections serve, a new one is not tried for so long. */
const shortageMs = 100;
/** How long after the loss of a connection that is kept ready (`minPerNode`) another one is made. */
const keepReadyMs = 1_000;
/** Connections made together are not all replaced together: each up to a fifth before its time. */
const ageJitter = 0.2;

export interface NodePoolOptions extends ConnectionMakerOptions, Omit<WaitingLineOptions, "isConnecting"> {
  /** What the Host header comes from. */
  readonly origin: URL;
  readonly isSecure: boolean;
  /** Of the requests to an https node. */
  readonly servername: string | undefined;
  readonly http2: Http2;
  readonly connectingPerNode: number;
  readonly idleMs: number;
  readonly maxAgeMs: number;
  readonly maxStreams: number;
  readonly minPerNode: number;
  readonly client: Client.Options;
  readonly random: Random;
  readonly connect: Connect;
  /** Makes a pool to the same node that speaks HTTP/1.1 only: HTTP/2 has no way to hand a connection over. */
  readonly createUpgradePool: () => NodePool;
  /** Told of each HTTP/2 connection, to watch it for as long as it is usable. */
  readonly watch: (connection: Connection) => void;
}

/** A connection that was being made was given up for a new one: no failure. */
export class ConnectRestarted extends Error {
  override readonly name: string = "ConnectRestarted";
}

export class NodePool extends EventEmitter implements AttemptCarrier, ConnectionOwner, ConnectionDemand {
  /** When it was last asked for a connection. */
  usedAt: number;
  readonly #options: NodePoolOptions;
  readonly #connections: ConnectionSet = new ConnectionSet();
  readonly #line: WaitingLine;
  readonly #maker: ConnectionMaker;
  /** Undefined until a connection stood. */
  #isMultiplexed: boolean | undefined;
  #needsDrain = false;
  /** For upgrades, where the node may be spoken to in HTTP/2. */
  #upgradePool: NodePool | undefined = undefined;
  #destroyed: Error | undefined = undefined;

  constructor(options: NodePoolOptions) {
    super();
    this.#options = options;
    this.usedAt = options.clock.now();
    if (!options.isSecure) this.#isMultiplexed = options.http2 === "prior-knowledge";
    else if (options.http2 === "never") this.#isMultiplexed = false;
    const isConnecting = () => this.#connections.size === 0 && this.#maker.connecting > 0;
    this.#line = new WaitingLine({ ...options, isConnecting });
    this.#maker = new ConnectionMaker(options.connect, options, this);
  }

  get counts(): ConnectionCounts {
    const upgrades = this.#upgradePool?.counts;
    return {
      open: this.#connections.open + (upgrades?.open ?? 0),
      idle: this.#connections.idle + (upgrades?.idle ?? 0),
      connecting: this.#maker.connecting + (upgrades?.connecting ?? 0),
      waiting: this.#line.size + (upgrades?.waiting ?? 0),
    };
  }

  wasServing(since: number): boolean {
    return this.#connections.stoodAt(since);
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
      this.#upgradePool ??= this.#createUpgradePool();
      return this.#upgradePool.dispatch(options, observer);
    }
    observer.carrier = this;
    const connection = this.#takeFree(now);
    if (connection !== undefined) this.#send(connection, options, observer, now);
    else this.#wait(options, observer, now);
    const isBusy =
      !this.#connections.hasFree && this.#connections.size + this.#maker.connecting >= this.#options.perNode;
    if (isBusy) this.#needsDrain = true;
    return !isBusy;
  }

  // What the observer of a request tells.

  ended(observer: AttemptObserver, error: Error | undefined): void {
    const { connection } = observer;
    if (connection === undefined) return;
    connection.active--;
    if (error === undefined) connection.answered++;
    // Node.js refuses so whatever comes over a session that holds too much memory, long after that was let go of.
    else if (isCalmDemanded(error)) this.#retire(connection);
    if (connection.active > 0) return;
    const now = this.#options.clock.now();
    connection.idleSince = now;
    if (connection.state === "usable" && this.#mustGo(connection, now)) this.#retire(connection);
  }

  sendAgain(observer: AttemptObserver, options: Dispatcher.DispatchOptions): boolean {
    if (this.#destroyed !== undefined) return false;
    observer.connection = undefined;
    this.dispatch(options, observer);
    return true;
  }

  abandoned(observer: AttemptObserver, ranOut: boolean): void {
    const { connection } = observer;
    if (connection === undefined) {
      this.#line.delete(observer);
      if (this.#line.size === 0) this.#maker.forgetDemand();
      return;
    }
    if (!ranOut || !connection.isMultiplexed || connection.state !== "usable") return;
    const now = this.#options.clock.now();
    connection.listen(now);
    if (connection.heardAt > observer.dispatchedAt) return;
    // Nothing came since the request was sent, of any stream: it may be dead, and must not take the next call.
    connection.suspectSince ??= now;
    this.#connections.unfree(connection);
    // Without PINGs nothing would ever clear it of that.
    if (this.#options.client.h2Options?.pingInterval === 0) this.#retire(connection);
  }

  // What connections tell.

  roomAppeared(connection: Connection): void {
    if (connection.state !== "usable" || connection.isFree) return;
    const now = this.#options.clock.now();
    if (this.#mustGo(connection, now)) {
      if (connection.active === 0) this.#retire(connection);
      return;
    }
    if (connection.suspectSince !== undefined || connection.saidBusy) return;
    this.#connections.free(connection);
    this.#serveLine(now);
    this.#tellRoom();
  }

  connectionLost(connection: Connection, error: Error): void {
    this.#connections.end(connection, this.#options.clock.now());
    if (connection.socket.destroyed) this.#connections.closed(connection);
    this.emit("disconnect", this.#options.origin, [connection.client], error);
    if (this.#destroyed !== undefined) return;
    if (isCalmDemanded(error)) {
      this.#maker.calm();
      if (this.#connections.size === 0) this.#line.failAll(error);
    }
    this.#replace();
  }

  /** The peer of a suspect connection was heard. */
  cleared(connection: Connection): void {
    connection.suspectSince = undefined;
    this.roomAppeared(connection);
  }

  // What the maker of connections asks and tells.

  get isPressing(): boolean {
    return this.#line.size > 0;
  }

  get standing(): number {
    return this.#connections.size;
  }

  get atOnce(): number {
    // Until the first one stands it is not known how many requests one can carry.
    return this.#isMultiplexed === undefined ? 1 : this.#options.connectingPerNode;
  }

  get wanted(): number {
    const { minPerNode, maxStreams } = this.#options;
    const missing = minPerNode - this.#connections.size;
    const isMultiplexed = this.#isMultiplexed === true;
    const unserved = this.#line.size - this.#connections.soonTaken(isMultiplexed, maxStreams);
    return Math.max(isMultiplexed ? Math.ceil(unserved / maxStreams) : unserved, missing);
  }

  made(socket: Socket): void {
    const { clock, maxAgeMs, random, origin, servername, client, http2, isSecure, address } = this.#options;
    const now = clock.now();
    const expiresAt = now + maxAgeMs * (1 - ageJitter * random());
    const connection = new Connection(socket, origin, servername, client, this, now, expiresAt);
    if (isSecure && http2 === "prior-knowledge" && !connection.isMultiplexed) {
      const error = new Error(`${address} does not speak HTTP/2`);
      connection.destroy(error);
      this.failed(error, now);
      return;
    }
    this.#isMultiplexed = connection.isMultiplexed;
    this.#connections.add(connection);
    socket.once("close", () => this.#connections.closed(connection));
    if (connection.isMultiplexed) this.#options.watch(connection);
    this.emit("connect", origin, [connection.client]);
    this.roomAppeared(connection);
    this.#maker.make();
  }

  failed(error: Error, startedAt: number): void {
    if (error instanceof ConnectRestarted) {
      this.#maker.make();
      return;
    }
    this.emit("connectionError", this.#options.origin, [], error);
    const { reason } = outcomeOfError(error);
    if (this.#connections.size > 0) {
      // The others serve on. For our own shortage nobody needs to be told; else one call is, and by it the cluster.
      if (reason === "shortage") this.#maker.rest(shortageMs);
      else this.#line.failFirst(error);
    } else if (reason === "error" || reason === "timeout") {
      // It took its time, and tells nothing to whoever came when it was half over: it may be better by now.
      this.#line.failThose(error, (startedAt + this.#options.clock.now()) / 2);
    } else {
      this.#line.failAll(error);
    }
    this.#replace();
  }

  // What its owner asks for.

  /** Closes connections that have been idle or alive for too long, and makes those that are to be kept ready. */
  sweep(now: number): void {
    const { idleMs, minPerNode } = this.#options;
    for (const connection of this.#connections.usable) {
      const isIdle = connection.active === 0 && now - connection.idleSince >= idleMs;
      if (now >= connection.expiresAt || (isIdle && this.#connections.size > minPerNode)) {
        this.#retire(connection);
      }
    }
    if (minPerNode > 0) this.#maker.make();
    this.#upgradePool?.sweep(now);
  }

  /**
   * Closes a connection that nothing is sent over; false if there is none.
   *
   * @param spare only one that need not be kept ready.
   */
  closeIdle(spare: boolean): boolean {
    const mayGo = !spare || this.#connections.size > this.#options.minPerNode;
    const idle = mayGo ? this.#connections.findIdle() : undefined;
    if (idle === undefined) return this.#upgradePool?.closeIdle(spare) ?? false;
    this.#retire(idle);
    return true;
  }

  closeAllIdle(): void {
    for (const connection of this.#connections.usable) if (connection.active === 0) this.#retire(connection);
    this.#upgradePool?.closeAllIdle();
  }

  /** Further connections are made by `connect`; those that stand finish what they have and close. */
  renew(connect: Connect, connectForUpgrades: Connect): void {
    this.#maker.connect = connect;
    this.#upgradePool?.renew(connectForUpgrades, connectForUpgrades);
    for (const connection of this.#connections.usable) this.#retire(connection);
  }

  /** Ends all requests and connections. */
  destroy(error: Error): void {
    if (this.#destroyed !== undefined) return;
    this.#destroyed = error;
    this.#maker.close();
    this.#line.close();
    this.#upgradePool?.destroy(error);
    this.#line.failAll(error);
    for (const connection of this.#connections.all) {
      connection.client.destroy(error, () => {});
      connection.destroy(error);
    }
  }

  #createUpgradePool(): NodePool {
    const pool = this.#options.createUpgradePool();
    pool.on("drain", (...event) => this.emit("drain", ...event));
    return pool;
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
    else this.#connections.unfree(connection);
    connection.saidBusy = true;
    const allowed = connection.isMultiplexed ? withoutConnectionHeaders(options) : options;
    let hasRoom = connection.client.dispatch(allowed, observer);
    // undici refused the call as malformed: the connection is what it was before, and no "drain" will come.
    if (!hasRoom && observer.carrier === undefined && connection.client.stats.size === connection.active) {
      hasRoom = connection.isMultiplexed ? wasFree : connection.active === 0;
    }
    if (hasRoom) {
      connection.saidBusy = false;
      connection.isSettled = true;
      this.roomAppeared(connection);
    } else {
      this.#connections.unfree(connection);
    }
  }

  #takeFree(now: number): Connection | undefined {
    for (let free = this.#connections.latestFree; free !== undefined; free = this.#connections.latestFree) {
      if (free.state === "usable" && now < free.expiresAt) return free;
      this.#retire(free);
    }
    return undefined;
  }

  /** Whether it should close as soon as it is idle. */
  #mustGo(connection: Connection, now: number): boolean {
    if (now >= connection.expiresAt) return true;
    const { limits } = this.#options;
    if (connection.active > 0 || !limits.isFull || !limits.hasWaiters) return false;
    // Another node's calls wait for what this one has to spare; or have no connection at all, while this one has several.
    return this.#line.size === 0 || (this.#connections.size > 1 && limits.hasHungry);
  }

  #retire(connection: Connection): void {
    this.#connections.unfree(connection);
    if (connection.state !== "usable") return;
    this.#connections.end(connection, this.#options.clock.now());
    connection.retire();
    this.#tellRoom();
  }

  /** Makes what is missing after a connection was lost, or did not come about. */
  #replace(): void {
    if (this.#line.size > 0) this.#maker.make();
    // A peer that closes what it has just accepted must not be connected to in a loop.
    else if (this.#options.minPerNode > 0) this.#maker.makeIn(keepReadyMs);
    this.#tellRoom();
  }

  /** Says that there is room, to whoever was told that there is none. */
  #tellRoom(): void {
    if (!this.#needsDrain || this.#destroyed !== undefined || this.#line.size > 0) return;
    const used = this.#connections.size + this.#maker.connecting;
    if (!this.#connections.hasFree && used >= this.#options.perNode) return;
    this.#needsDrain = false;
    this.emit("drain", this.#options.origin, []);
  }

  #wait(options: Dispatcher.DispatchOptions, observer: AttemptObserver, now: number): void {
    if (this.#destroyed !== undefined) {
      observer.failed(this.#destroyed, "unsent");
    } else if (this.#maker.isCalming(now) && this.#connections.size === 0) {
      observer.failed(new Error("HTTP/2: the node asked for calm (ENHANCE_YOUR_CALM)"), "unsent");
    } else {
      observer.dispatchedAt = now;
      this.#line.add(observer, options, now);
      this.#maker.make();
    }
  }

  #serveLine(now: number): void {
    if (this.#line.size === 0) return;
    for (let connection = this.#takeFree(now); connection !== undefined; connection = this.#takeFree(now)) {
      const free = connection;
      const isServed = this.#line.shift((observer, options) => {
        observer.leaveLine(now);
        this.#send(free, options, observer, now);
      });
      if (!isServed) break;
    }
    if (this.#line.size === 0) this.#maker.forgetDemand();
  }
}
