export interface SharedLimiter {
  consume(key: string): Promise<unknown>;
}
export class SharedRate {
  #limiter: SharedLimiter;
  #key: string;
  constructor(limiter: SharedLimiter, key: string) {
    this.#limiter = limiter;
    this.#key = key;
  }
  async take(): Promise<"granted" | "limited" | Error> {
    await this.#limiter.consume(this.#key);
    return "granted";
  }
}
