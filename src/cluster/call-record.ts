/**
 * What a call has been through so far: for its next pick, for what it may still cost, and for the message of the error
 * that it may end with.
 *
 * Made when the first attempt fails or is hedged: most calls have none.
 */
import type { Node } from "../core/node.ts";
import type { Outcome } from "../core/outcome.ts";

export class CallRecord {
  #tried: Node[] = [];
  /** What each failed attempt met. */
  readonly #history: string[] = [];
  lastError: unknown = undefined;
  /** Retries and hedges that were withdrawn from the ledger and are not over. */
  extras = 0;
  /** Attempts that their nodes did not process, as the connection was being closed. */
  passedOver = 0;

  /** Nodes that the next pick leaves out. */
  get tried(): readonly Node[] {
    return this.#tried;
  }

  /** An attempt on the node failed. */
  add(node: Node, outcome: Outcome, error: unknown): void {
    // Our own shortage says nothing against trying the same node again.
    if (outcome.reason !== "shortage") this.leaveOut(node);
    this.#history.push(`${node.key} ${outcome.detail || outcome.reason}`);
    if (error !== undefined) this.lastError = error;
  }

  leaveOut(node: Node): void {
    if (!this.#tried.includes(node)) this.#tried.push(node);
  }

  /** All nodes were tried: any may be tried again. */
  forgetTried(): void {
    this.#tried = [];
  }

  /** ` in 2 attempts: http://a 503; http://b timeout`, or nothing. */
  describe(): string {
    const { length } = this.#history;
    if (length === 0) return "";
    return ` in ${length === 1 ? "1 attempt" : `${length} attempts`}: ${this.#history.join("; ")}`;
  }
}
