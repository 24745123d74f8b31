/**
 * The connections to one node: which of them takes the next stream, and when another one is made.
 *
 * One connection is enough as a rule. Another is made when those that stand have no room, up to `connections.perNode`;
 * beyond that, calls wait in line.
 */
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
/** However often a peer demands calm, it is asked once in this time; gRPC's own limit is two hours. */
const longestPingMs = 300_000;

export interface NodeSessionsOptions extends Omit<SessionOptions, "tls" | "expiresAt"> {
  /** As they are when a connection is made. */
  readonly currentTls: () => SessionOptions["tls"];
  readonly perNode: number;
  readonly connectingPerNode: number;
  readonly queue: number;
  readonly queueMs: number;
  readonly maxAgeMs: number;
  readonly random: Random;
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

export class NodeSessions implements SessionOwner {
  readonly #options: NodeSessionsOptions;
  readonly #sessions: Set<NodeSession> = new Set();
  /** Those that wait for a connection in the making have no `Wait`. */
  readonly #line: Map<Waiter, Wait | undefined> = new Map();
  #pingMs: number;
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
    if (this.#line.delete(waiter)) this.#options.counted(-1);
  }

  /** Connections take nothing new: from here on others are made. */
  retire(): void {
    // Those as they are now: calls that waited for one of them have another one made at once.
    for (const session of [...this.#sessions]) session.retire();
  }

  destroy(loss: Loss): void {
    this.#destroyedBy = loss;
    this.#refuse(loss, this.#line.size);
    for (const session of [...this.#sessions]) session.destroy(loss);
  }

  changed(): void {
    this.#serve();
  }

  lost(session: NodeSession, loss: Loss, wasReady: boolean): void {
    this.#sessions.delete(session);
    // As gRPC has it (A8): half as many from now on.
    if (session.farewell?.code === enhanceYourCalm) this.#pingMs = Math.min(longestPingMs, this.#pingMs * 2);
    if (!wasReady && loss !== closedOnOurSide) {
      // The others serve on, but one call is told: connections are not to be tried as fast as they are refused.
      const hasOthers = [...this.#sessions].some(({ state }) => state !== "ending");
      this.#refuse(loss, hasOthers ? 1 : this.#line.size);
    }
    this.#serve();
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
    const { perNode, connectingPerNode, queueMs, clock, maxStreams } = this.#options;
    let expected = 0;
    let connecting = 0;
    let usable = 0;
    for (const session of this.#sessions) {
      expected += session.expectedRoom;
      if (session.state === "connecting") connecting++;
      if (session.state !== "ending" && session.state !== "gone") usable++;
    }
    while (this.#line.size > expected && usable < perNode && connecting < connectingPerNode) {
      this.#sessions.add(new NodeSession(this.#sessionOptions(), this));
      expected += maxStreams;
      usable++;
      connecting++;
    }
    if (expected > 0) return;
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

  #sessionOptions(): SessionOptions {
    const { maxAgeMs, random, clock, currentTls } = this.#options;
    const expiresAt = clock.now() + maxAgeMs * (1 - ageJitter * random());
    return { ...this.#options, tls: currentTls(), pingMs: this.#pingMs, expiresAt };
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
