/**
 * Trials: how a node that was out because of outcomes comes back, by one call at a time.
 *
 * Which call that is, is not left to the policy: one that looks at cost would avoid the node that most needs a try.
 */
import type { Attempt } from "../core/attempt.ts";
import type { CallInfo } from "../core/contracts.ts";
import type { Health, Node } from "../core/node.ts";

/** A node on its way back waits this long for a call that could be retried; then any call tries it. */
const anyCallAfterMs = 1_000;

/** What of a call decides where it may go, and whether it may be a trial. */
export interface TrialCall extends CallInfo {
  readonly canRetry: boolean;
  readonly rules: { readonly zone: string | undefined };
}

export class Trials {
  /** Nodes that wait for a trial call. */
  waiting: readonly Node[] = [];
  #picked: Node | undefined = undefined;

  /** The time of a node that is out is up. */
  offer(node: Node, out: Health & { kind: "out" }, now: number): void {
    const { state, reason } = out;
    node.health = { kind: "probing", from: state, reason, since: now, onTrial: false };
    this.waiting = [...this.waiting, node];
  }

  /** A trial said nothing; another one may. */
  offerAgain(node: Node, probing: Health & { kind: "probing" }): void {
    node.health = { ...probing, onTrial: false };
    if (node.drainCause === undefined && isTriable(node)) this.waiting = [...this.waiting, node];
  }

  /**
   * The node that this call is to try, if any.
   *
   * @param within the nodes that the call can reach; all of them without.
   */
  take(
    call: TrialCall,
    failingOpen: boolean,
    now: number,
    within?: { has(node: Node): boolean },
  ): Node | undefined {
    for (const node of this.waiting) {
      const { health } = node;
      if (health.kind !== "probing" || within?.has(node) === false) continue;
      if (call.tried.includes(node)) continue;
      // When all are out, a call risks no more on this node than on any other.
      if (!failingOpen && now - health.since < anyCallAfterMs && !call.canRetry) continue;
      // Whoever looked at the nodes since this call read the clock may have offered the trial later than the call begins it:
      // a trial from before would decide nothing, and no other would follow.
      node.health = { ...health, since: Math.min(health.since, now), onTrial: true };
      this.waiting = this.waiting.filter((other) => other !== node);
      this.#picked = node;
      return node;
    }
    return undefined;
  }

  /** The attempt that follows a pick. */
  begun(attempt: Attempt): void {
    if (attempt.node !== this.#picked) return;
    this.#picked = undefined;
    attempt.isTrial = true;
  }

  /** Lets go of a node that has left. */
  forget(node: Node): void {
    if (this.#picked === node) this.#picked = undefined;
  }
}

/** Whether a node that discovery and the program want called waits for a trial. While its check fails it gets none. */
export function isTriable({ health, check }: Node): boolean {
  return health.kind === "probing" && !health.onTrial && check.kind !== "failing";
}
