/**
 * A rate limit that many processes share, kept elsewhere, such as in Redis, by a limiter of the program's choice.
 *
 * The shape is that of the limiters of the npm package `rate-limiter-flexible`; nothing is imported. When the limiter fails
 * or does not answer, calls go on: a rate limit protects, and must not be one more thing that can take a service down. Then
 * one call a second asks, and the others are granted without waiting for it.
 */
import { type Clock, systemClock, type Timer } from "../core/clock.ts";

/**
 * What `limits.ratePerSecond` takes instead of a number: any limiter of the package `rate-limiter-flexible`, or what behaves
 * like one.
 */
export interface SharedLimiter {
  /**
   * Takes one of the key's points. Resolves when there was one; rejects with an object that has `msBeforeNext` (no Error) when
   * there was none, and with an Error when it cannot tell.
   */
  consume(key: string): Promise<unknown>;
}

export interface SharedRateOptions {
  /** How long a call waits for the limiter. Default 100: far more than Redis needs, and little in a call's time. */
  readonly waitMs?: number | undefined;
  /** How often a limiter that failed is asked. Default 1,000. */
  readonly pauseMs?: number | undefined;
  readonly clock?: Clock | undefined;
}

/** Whether it looks like a limiter, for the check of options. */
export function isSharedLimiter(value: unknown): value is SharedLimiter {
  return (
    typeof value === "object" && value !== null && "consume" in value && typeof value.consume === "function"
  );
}

export class SharedRate {
  readonly #limiter: SharedLimiter;
  readonly #key: string;
  readonly #waitMs: number;
  readonly #pauseMs: number;
  readonly #clock: Clock;
  #isFailing = false;
  #askAgainAt = Number.NEGATIVE_INFINITY;

  /** @param key what the processes have in common, such as the name of the service. */
  constructor(limiter: SharedLimiter, key: string, options: SharedRateOptions = {}) {
    const { waitMs = 100, pauseMs = 1_000, clock = systemClock } = options;
    this.#limiter = limiter;
    this.#key = key;
    this.#waitMs = waitMs;
    this.#pauseMs = pauseMs;
    this.#clock = clock;
  }

  /**
   * Whether a call may begin. An Error is there to be reported, once for each time that a failure was found; the call goes
   * on as if it had been granted.
   */
  async take(): Promise<"granted" | "limited" | Error> {
    if (this.#isFailing) {
      const now = this.#clock.now();
      if (now < this.#askAgainAt) return "granted";
      this.#askAgainAt = now + this.#pauseMs;
    }
    const wasFailing = this.#isFailing;
    const answer = await this.#ask();
    if (!(answer instanceof Error)) {
      this.#isFailing = false;
      return answer;
    }
    // Of all that were waiting when it failed, one tells.
    if (this.#isFailing && !wasFailing) return "granted";
    this.#isFailing = true;
    this.#askAgainAt = this.#clock.now() + this.#pauseMs;
    return answer;
  }

  /** Never rejects. */
  #ask(): Promise<"granted" | "limited" | Error> {
    return new Promise((resolve) => {
      let timer: Timer | undefined = this.#clock.schedule(() => {
        timer = undefined;
        resolve(
          new Error(`the shared rate limiter gave no answer for "${this.#key}" within ${this.#waitMs} ms`),
        );
      }, this.#waitMs);
      const settle = (answer: "granted" | "limited" | Error) => {
        timer?.cancel();
        resolve(answer);
      };
      try {
        this.#limiter.consume(this.#key).then(
          () => settle("granted"),
          (reason) => settle(refusal(reason)),
        );
      } catch (error) {
        settle(refusal(error));
      }
    });
  }
}

/** What a rejection means. */
function refusal(reason: unknown): "limited" | Error {
  if (reason instanceof Error) return reason;
  if (typeof reason === "object" && reason !== null && "msBeforeNext" in reason) return "limited";
  return new Error("the shared rate limiter rejected with neither an Error nor msBeforeNext", {
    cause: reason,
  });
}
