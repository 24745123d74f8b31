/** Whether most nodes fail, remembered for a moment: finding out looks at all of them, at each failure. */
import type { Node } from "../core/node.ts";
import { mostFail } from "../health/ejection.ts";

/** Far less than an outage takes to begin or end, and many failures of a busy service. */
const rememberedMs = 50;

export class MostFail {
  #value = false;
  #at = Number.NEGATIVE_INFINITY;

  of(nodes: readonly Node[], now: number): boolean {
    if (now - this.#at >= rememberedMs) {
      this.#at = now;
      this.#value = mostFail(nodes, now);
    }
    return this.#value;
  }

  /** It may be otherwise by now. */
  forget(): void {
    this.#at = Number.NEGATIVE_INFINITY;
  }
}
