/** One service as all its transports share it: the cluster, the connections to its nodes, and the calls under way. */
import { randomUUID } from "node:crypto";
import { ActiveCalls } from "../cluster/active-calls.ts";
import type { CallRules } from "../cluster/call-rules.ts";
import type { Cluster } from "../cluster/cluster.ts";
import { BalancerError } from "../core/errors.ts";
import { connectErrorOf } from "./connect-errors.ts";
import { RpcAttempt } from "./rpc-attempt.ts";
import { Sessions } from "./sessions.ts";

/** On the way from the interceptor to the session manager only: says what the interceptor knows of it. Never sent. */
export const attemptHeader = "evenkeel-attempt";

/** A stream as the interceptor knows it. */
export interface FollowedStream {
  /** Aborted when nobody waits for it any more. */
  readonly signal: AbortSignal;
  /** Why the node, provably, did nothing of it. */
  unprocessedFor: Error | undefined;
}

/** The attempt or the stream that a request is. */
export type Announced = RpcAttempt | FollowedStream;

export class ConnectService {
  readonly cluster: Cluster;
  readonly sessions: Sessions;
  /** For calls with one message each way. */
  readonly unaryRules: CallRules;
  /** A stream has the time that its caller or its handler gives it, and its answer may begin late. */
  readonly streamRules: CallRules;
  /** What the interceptor has sent and the session manager may not have seen yet. */
  readonly #announced: Map<string, Announced> = new Map();
  /** Nobody else knows it: a header that a program passes on from its own callers claims nothing. */
  readonly #mark: string = randomUUID();
  #announcements = 0;
  #closing = false;
  readonly #activeCalls: ActiveCalls = new ActiveCalls();

  constructor(cluster: Cluster) {
    this.cluster = cluster;
    this.sessions = new Sessions(cluster);
    this.unaryRules = cluster.rules;
    this.streamRules = {
      ...cluster.rules,
      totalMs: Number.POSITIVE_INFINITY,
      attemptMs: Number.POSITIVE_INFINITY,
    };
  }

  /** @throws ConnectError when no more calls are taken. */
  assertOpen(): void {
    if (!this.#closing) return;
    throw connectErrorOf(new BalancerError("ERR_CLOSED", this.cluster.name, "the balancer is closed"));
  }

  announce(announced: Announced): string {
    const key = `${this.#mark}-${++this.#announcements}`;
    this.#announced.set(key, announced);
    return key;
  }

  /** Whether our interceptor wrote it. */
  isOwn(key: unknown): key is string {
    return typeof key === "string" && key.startsWith(this.#mark);
  }

  /** What is behind a request; undefined when that is over. An attempt can be claimed once. */
  claim(key: string): Announced | undefined {
    const announced = this.#announced.get(key);
    if (announced instanceof RpcAttempt) this.withdraw(key);
    return announced;
  }

  withdraw(key: string): void {
    this.#announced.delete(key);
  }

  callStarted(): void {
    this.#activeCalls.started();
  }

  callEnded(): void {
    this.#activeCalls.ended();
  }

  async close(): Promise<void> {
    this.#closing = true;
    if (this.#activeCalls.count > 0) await this.#activeCalls.idle();
    this.sessions.close();
  }
}
