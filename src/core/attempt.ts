/**
 * One try of one call on one node. It is counted when it begins, and ends exactly once, whatever the transport
 * reports afterwards.
 */
import type { Node } from "./node.ts";
import type { Outcome } from "./outcome.ts";

export class Attempt {
  readonly node: Node;
  /** 1 for the first try of a call. */
  readonly number: number;
  readonly startedAt: number;
  /** How long this process's event loop had been blocked, all told, when the attempt began. */
  readonly blockedAtStart: number;
  /** When the request went out, where it first had to wait for a connection: that wait is not the node's speed. */
  #sentAt: number;
  /** How long it waited for one of the node's connections, which other calls of ours had in use. */
  #lineMs = 0;
  /** Time to the final headers; undefined until they came. */
  latencyMs: number | undefined;
  /** Of the answer; undefined until its final headers came. */
  statusCode: number | undefined = undefined;
  ended = false;
  /** False for a call whose length says nothing of how fast its node is, a stream. */
  isTimed = true;
  /** It decides whether its node, half open, comes back. */
  isTrial = false;
  /** It was sent while another one of the same call was under way. */
  isHedge = false;

  constructor(node: Node, number: number, now: number, blockedMs: number) {
    this.node = node;
    this.number = number;
    this.startedAt = now;
    this.blockedAtStart = blockedMs;
    this.#sentAt = now;
    node.begin();
  }

  /** How long the node has had: without the wait in line, and the time in which this process could notice no answer. */
  elapsedMs(now: number, blockedMs: number): number {
    return Math.max(0, now - this.startedAt - this.#lineMs - (blockedMs - this.blockedAtStart));
  }

  /** It waited for so long for one of the node's connections, all of which were in use. */
  leftLine(waitedMs: number): void {
    this.#lineMs += waitedMs;
  }

  /** The same from when the request went out. */
  waitedMs(now: number, blockedMs: number): number {
    return Math.min(this.elapsedMs(now, blockedMs), now - this.#sentAt);
  }

  /** The request goes out only now, since its connection had to be made first. */
  sent(now: number): void {
    this.#sentAt = now;
  }

  /**
   * The final headers are here. A bad answer, however fast, never lowers the node's latency.
   *
   * @param isSample whether the time that it took says anything of the node.
   */
  answered(good: boolean, now: number, blockedMs: number, isSample = true): void {
    if (this.ended || this.latencyMs !== undefined || !this.isTimed) return;
    this.latencyMs = this.waitedMs(now, blockedMs);
    if (!isSample) return;
    if (good) this.node.answered(this.latencyMs, now);
    else this.node.stalled(this.latencyMs, now);
  }

  /** Ends the attempt; false if it had ended before. */
  end(outcome: Outcome, now: number, blockedMs: number): boolean {
    if (this.ended) return false;
    if (
      this.isTimed &&
      this.latencyMs === undefined &&
      outcome.reason !== "shortage" &&
      outcome.reason !== "unsent" &&
      outcome.reason !== "call"
    ) {
      this.latencyMs = this.waitedMs(now, blockedMs);
      this.node.stalled(this.latencyMs, now);
    }
    this.close(outcome, now);
    return true;
  }

  /** Ends one that has not ended yet, and whose latency is known or not wanted. */
  close(outcome: Outcome, now: number): void {
    this.ended = true;
    this.node.end(outcome, now);
  }
}
