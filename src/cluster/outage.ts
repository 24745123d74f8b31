/**
 * Tells an outage of all nodes from failures of some: so long without a good answer from any node, while calls to all of
 * them fail, is nothing that one of them has caused. It is the caller's network, or something that they share.
 *
 * What the nodes failed of in it is held against none of them. Else the first one to answer would get all calls, until
 * the others are forgotten to have failed.
 */
import type { Attempt } from "../core/attempt.ts";
import type { Node } from "../core/node.ts";
import { ignored, type Outcome } from "../core/outcome.ts";

/** A node that is well gives an answer within a second, unless hardly any calls are made. */
const outageMs = 1_000;
const causedByOutage = ignored("shortage", "began while no node could be reached");

export class Outage {
  #goodAnswerAt: number;
  #endedAt = Number.NEGATIVE_INFINITY;

  /** @param now when there were nodes to give an answer. */
  constructor(now: number) {
    this.#goodAnswerAt = now;
  }

  /**
   * A good answer came. True if it ends an outage; the nodes then start anew.
   *
   * @param inService the nodes that were in service all the while.
   */
  answered(inService: () => readonly Node[], now: number): boolean {
    const silentMs = now - this.#goodAnswerAt;
    this.#goodAnswerAt = now;
    if (silentMs < outageMs) return false;
    const nodes = inService();
    if (nodes.some(({ consecutiveFailures }) => consecutiveFailures === 0)) return false;
    for (const node of nodes) node.startAnew();
    this.#endedAt = now;
    return true;
  }

  /** Whether an attempt began in an outage that is over: neither its failure nor how long it took says anything. */
  includes(attempt: Attempt): boolean {
    return attempt.startedAt < this.#endedAt;
  }

  /** What an attempt's failure says of its node: there are as many of an outage as calls begin in `attemptMs`. */
  judged(attempt: Attempt, failed: Outcome): Outcome {
    return this.includes(attempt) && attempt.node.isFit ? causedByOutage : failed;
  }
}
