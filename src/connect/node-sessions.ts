/**
 * The connections to one node: which of them takes the next stream, and when another one is made.
 *
 * One connection is enough as a rule. Another is made when those that stand have no room, up to `connections.perNode` and,
 * with those of all other nodes, `total`; beyond that, calls wait in line.
 */
import type { ConnectionLimits, LimitWaiter } from "../cluster/connection-limits.ts";
import type { Clock, Timer } from "../core/clock.ts";
import type { ConnectionCounts } from "../core/observation.ts";
import { ignored } from "../core/outcome.ts";
import type { Random } from "../core/random.ts";
import { enhanceYourCalm } from "./http2-codes.ts";
import {
  closedOnOurSide,
  type Loss,
  NodeSession,
  type SessionOptions,
  type SessionOwner,
} from "./node-session.ts";

/** Connections made together are not all replaced together: each up to a fifth before its time. */
const ageJitter = 0.2;
/** How soon a connection that is to be kept ready is made again. */
const keepReadyMs = 1_000;
/** However often a peer demands calm, it is asked once in this time; gRPC's own limit is two hours. */
const longestPingMs = 300_000;

export interface NodeSessionsOptions extends Omit<SessionOptions, "tls" | "expiresAt"> {
  /** As they are when a connection is made. */
  readonly currentTls: () => SessionOptions["tls"];
  readonly perNode: number;
  /** Connections that are kept ready once `keep` has asked for them. */
  readonly minPerNode: number;
  readonly connectingPerNode: number;
  readonly queue: number;
  readonly queueMs: number;
  readonly maxAgeMs: number;
  readonly random: Random;
  /** What this node shares with all others. */
  readonly limits: ConnectionLimits;
  /** Asked to close an idle connection of another node, when there are as many as there may be. */
  readonly makeRoom: () => void;
  /** Told how the number of calls that wait changes. */
  readonly counted: (change: 1 | -1) => void;
  readonly clock: Clock;
}

/** A call that wants a place on a connection. */
export interface Waiter {
  /**
   * May open one stream, at once.
   *
   * @param lineMs how long it waited for the end of streams that others have open.
   */
  granted(session: NodeSession, lineMs: number): void;
  refused(loss: Loss): void;
}

const busy: Loss = {
  error: new Error("no connection was free"),
  outcome: ignored("busy", "no free connection"),
};

/** The wait of one call for the end of streams that others have open. */
interface Wait {
  readonly since: number;
  /** Ends it. */
  readonly timer: Timer;
}

export class NodeSessions implements SessionOwner, LimitWaiter {
  readonly #options: NodeSessionsOptions;
  readonly #sessions: Set<NodeSession> = new Set();
  /** Those that wait for a connection in the making have no `Wait`. */
  readonly #line: Map<Waiter, Wait | undefined> = new Map();
  #pingMs: number;
  #keeps = false;
  #keepTimer: Timer | undefined = undefined;
  /** Why it takes nothing any more. */
  #destroyedBy: Loss | undefined = undefined;

  constructor(options: NodeSessionsOptions) {
    this.#options = options;
    this.#pingMs = options.pingMs;
  }

  get counts(): ConnectionCounts {
    const all = [...this.#sessions];
    const connecting = all.filter(({ state }) => state === "connecting").length;
    const idle = all.filter(({ state, isIdle }) => state === "ready" && isIdle).length;
    return { open: all.length - connecting, idle, connecting, waiting: this.#line.size };
  }

  /** Calls the waiter back, now or later, unless it leaves. */
  acquire(waiter: Waiter): void {
    if (this.#destroyedBy !== undefined || this.#line.size >= this.#options.queue) {
      waiter.refused(this.#destroyedBy ?? busy);
      return;
    }
    this.#line.set(waiter, undefined);
    this.#options.counted(1);
    this.#serve();
  }

  /** Whether it waits for the end of streams that others have open, and not for a connection in the making. */
  isInLine(waiter: Waiter): boolean {
    return this.#line.get(waiter) !== undefined;
  }

  leave(waiter: Waiter): void {
    this.#line.get(waiter)?.timer.cancel();
    if (!this.#line.delete(waiter)) return;
    this.#options.counted(-1);
    if (this.#line.size === 0) this.#options.limits.forget(this);
  }

  /** Whether `minPerNode` connections are to be there before anybody calls, and again when they are lost. */
  keep(isWanted: boolean): void {
    this.#keeps = isWanted && this.#options.minPerNode > 0;
    this.#fill();
  }

  /**
   * Closes a connection that nothing is sent over; false if there is none.
   *
   * @param spare only one that need not be kept ready.
   */
  closeIdle(spare: boolean): boolean {
    if (spare && !this.maySpare) return false;
    for (const session of this.#sessions) {
      if (session.state !== "ready" || !session.isIdle) continue;
      session.destroy(closedOnOurSide);
      return true;
    }
    return false;
  }

  /** Connections take nothing new: from here on others are made. */
  retire(): void {
    // Those as they are now: calls that waited for one of them have another one made at once.
    for (const session of [...this.#sessions]) session.retire();
  }

  destroy(loss: Loss): void {
    this.#destroyedBy = loss;
    this.#keepTimer?.cancel();
    this.#options.limits.forget(this);
    this.#refuse(loss, this.#line.size);
    for (const session of [...this.#sessions]) session.destroy(loss);
  }

  // What its connections tell.

  get maySpare(): boolean {
    return !this.#keeps || this.#tally().usable > this.#options.minPerNode;
  }

  stood(): void {
    this.#options.limits.connected();
  }

  changed(session: NodeSession): void {
    const { limits } = this.#options;
    this.#serve();
    this.#fill();
    // Another node's calls wait for what this one has to spare.
    const isUnused = session.state === "ready" && session.isIdle && this.#line.size === 0;
    if (isUnused && limits.isFull && limits.hasWaiters) session.destroy(closedOnOurSide);
  }

  roomAppeared(): void {
    this.#serve();
    this.#fill();
  }

  lost(session: NodeSession, loss: Loss, wasReady: boolean): void {
    const { limits, clock } = this.#options;
    this.#sessions.delete(session);
    if (wasReady) limits.closed();
    else limits.failed();
    // As gRPC has it (A8): half as many from now on.
    if (session.farewell?.code === enhanceYourCalm) this.#pingMs = Math.min(longestPingMs, this.#pingMs * 2);
    if (!wasReady && loss !== closedOnOurSide) {
      // The others serve on, but one call is told: connections are not to be tried as fast as they are refused.
      const hasOthers = [...this.#sessions].some(({ state }) => state !== "ending");
      this.#refuse(loss, hasOthers ? 1 : this.#line.size);
    }
    this.#serve();
    // A peer that closes what it has just accepted must not be connected to in a loop.
    if (!this.#keeps || this.#destroyedBy !== undefined) return;
    this.#keepTimer ??= clock.schedule(() => {
      this.#keepTimer = undefined;
      this.#fill();
    }, keepReadyMs);
  }

  #serve(): void {
    while (this.#line.size > 0) {
      const session = this.#free();
      if (session === undefined) break;
      const [waiter] = this.#line.keys();
      if (waiter === undefined) break;
      const since = this.#line.get(waiter)?.since;
      this.leave(waiter);
      waiter.granted(session, since === undefined ? 0 : this.#options.clock.now() - since);
    }
    if (this.#line.size > 0) this.#grow();
  }

  #free(): NodeSession | undefined {
    for (const session of this.#sessions) {
      if (session.room <= 0) continue;
      if (session.isExpired) session.retire();
      else if (session.isDoubtful) session.verify();
      else return session;
    }
    return undefined;
  }

  #grow(): void {
    const { perNode, connectingPerNode, queueMs, clock, limits, makeRoom } = this.#options;
    for (let tally = this.#tally(); this.#line.size > tally.expected; tally = this.#tally()) {
      if (tally.usable >= perNode || tally.connecting >= connectingPerNode) break;
      if (!limits.start(this, tally.usable === 0)) {
        // Of the room that it makes this node is told at once, and comes back here.
        if (limits.isFull) makeRoom();
        break;
      }
      this.#make();
    }
    if (this.#tally().expected > 0) return;
    const since = clock.now();
    for (const [waiter, wait] of this.#line) {
      if (wait !== undefined) continue;
      const timer = clock.schedule(() => {
        this.leave(waiter);
        waiter.refused(busy);
      }, queueMs);
      this.#line.set(waiter, { since, timer });
    }
  }

  /** Makes the connections that are to be kept ready, as far as that takes nothing from others. */
  #fill(): void {
    const { minPerNode, connectingPerNode, limits } = this.#options;
    if (!this.#keeps || this.#destroyedBy !== undefined) return;
    for (let tally = this.#tally(); tally.usable < minPerNode; tally = this.#tally()) {
      if (tally.connecting >= connectingPerNode || limits.isFull) return;
      if (!limits.start(this, tally.usable === 0)) return;
      this.#make();
    }
  }

  #tally(): { readonly expected: number; readonly connecting: number; readonly usable: number } {
    let expected = 0;
    let connecting = 0;
    let usable = 0;
    for (const session of this.#sessions) {
      expected += session.expectedRoom;
      if (session.state === "connecting") connecting++;
      if (session.state !== "ending" && session.state !== "gone") usable++;
    }
    return { expected, connecting, usable };
  }

  #make(): void {
    const { maxAgeMs, random, clock, currentTls } = this.#options;
    const expiresAt = clock.now() + maxAgeMs * (1 - ageJitter * random());
    const options = { ...this.#options, tls: currentTls(), pingMs: this.#pingMs, expiresAt };
    this.#sessions.add(new NodeSession(options, this));
  }

  /** Sends as many away, the longest waiting first. */
  #refuse(loss: Loss, most: number): void {
    for (const waiter of [...this.#line.keys()].slice(0, most)) {
      this.leave(waiter);
      waiter.refused(loss);
    }
  }
}

/** What ends the calls of a node that left and still had some when its time to drain was over. */
export function drainedTooLong(address: string): Loss {
  const message = `${address} was removed, and drainMs are over`;
  return { error: new Error(message), outcome: ignored("closing", message) };
}
