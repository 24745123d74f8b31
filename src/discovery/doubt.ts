/**
 * Doubts an empty set until a while has passed and a fresh list is empty, too.
 *
 * A registry that starts up, fails over or lost its data answers with an empty list that looks like any other
 * answer. Few services have no instance on purpose, and believing it costs every call.
 */
import type { Clock, Timer } from "../core/clock.ts";

/** `raised`: doubted from now on. `doubted`: still. `confirmed`: believed from now on. `believed`: still. */
export type Verdict = "raised" | "doubted" | "confirmed" | "believed";

type State =
  | { readonly kind: "none" }
  | { readonly kind: "waiting"; readonly timer: Timer }
  /** A fresh list was asked for: the next snapshot is it. */
  | { readonly kind: "relisting" }
  | { readonly kind: "believed" };

const noDoubt: State = { kind: "none" };

export class EmptyDoubt {
  readonly #clock: Clock;
  readonly #windowMs: number;
  readonly #relist: () => void;
  #state: State = noDoubt;

  /** @param relist asks for a fresh list; when it returns, whatever is left of an older one has been judged. */
  constructor(clock: Clock, windowMs: number, relist: () => void) {
    this.#clock = clock;
    this.#windowMs = windowMs;
    this.#relist = relist;
  }

  /** What to think of an empty snapshot that has just come. */
  judge(): Verdict {
    switch (this.#state.kind) {
      case "none": {
        const timer = this.#clock.schedule(() => {
          this.#relist();
          // What was still on its way may have ended the doubt.
          if (this.#state.kind === "waiting") this.#state = { kind: "relisting" };
        }, this.#windowMs);
        this.#state = { kind: "waiting", timer };
        return "raised";
      }
      case "waiting":
        return "doubted";
      case "relisting":
        this.#state = { kind: "believed" };
        return "confirmed";
      case "believed":
        return "believed";
    }
  }

  /** A snapshot that is not empty has come, or none will come any more. */
  clear(): void {
    if (this.#state.kind === "waiting") this.#state.timer.cancel();
    this.#state = noDoubt;
  }
}
