/** Tests what a shared rate makes of its limiter's answers, and of none. */
import { describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.ts";
import { isSharedLimiter, SharedRate } from "./shared-rate.ts";

/** A limiter that answers as it is told, and counts how often it was asked. */
class Told {
  asked: string[] = [];
  answer: () => Promise<unknown> = () => Promise.resolve({ remainingPoints: 1 });

  consume(key: string): Promise<unknown> {
    this.asked.push(key);
    return this.answer();
  }
}

function setUp() {
  const limiter = new Told();
  const clock = new ManualClock();
  return { limiter, clock, rate: new SharedRate(limiter, "orders", { clock }) };
}

describe("SharedRate", () => {
  it("grants what the limiter grants, by its key", async () => {
    const { limiter, clock, rate } = setUp();
    expect(await rate.take()).toBe("granted");
    expect(limiter.asked).toEqual(["orders"]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("refuses what the limiter refuses, and goes on asking", async () => {
    const { limiter, rate } = setUp();
    limiter.answer = () => Promise.reject({ msBeforeNext: 120, remainingPoints: 0 });
    expect(await rate.take()).toBe("limited");
    expect(await rate.take()).toBe("limited");
    expect(limiter.asked).toHaveLength(2);
  });

  it("hands on an Error once, and asks again a second later", async () => {
    const { limiter, clock, rate } = setUp();
    const down = new Error("connect ECONNREFUSED");
    limiter.answer = () => Promise.reject(down);
    expect(await Promise.all([rate.take(), rate.take(), rate.take()])).toEqual([down, "granted", "granted"]);
    clock.advance(999);
    expect(await rate.take()).toBe("granted");
    expect(limiter.asked).toHaveLength(3);
    clock.advance(1);
    expect(await Promise.all([rate.take(), rate.take()])).toEqual([down, "granted"]);
    expect(limiter.asked).toHaveLength(4);
    clock.advance(1_000);
    limiter.answer = () => Promise.reject({ msBeforeNext: 1 });
    expect(await rate.take()).toBe("limited");
    expect(await rate.take()).toBe("limited");
  });

  it("does not wait for long, and no other call with it", async () => {
    const { limiter, clock, rate } = setUp();
    limiter.answer = () => new Promise(() => {});
    const first = rate.take();
    clock.advance(100);
    expect(String(await first)).toContain('no answer for "orders" within 100 ms');
    expect(await rate.take()).toBe("granted");
    clock.advance(1_000);
    const trial = rate.take();
    expect(await rate.take()).toBe("granted");
    limiter.answer = () => Promise.resolve();
    clock.advance(100);
    expect(await trial).toBeInstanceOf(Error);
    expect(clock.pendingTimers).toBe(0);
  });

  it("takes a limiter that throws, or rejects with anything, as one that failed", async () => {
    const { limiter, rate } = setUp();
    limiter.answer = () => {
      throw new TypeError("closed");
    };
    expect(await rate.take()).toEqual(new TypeError("closed"));
    const other = setUp();
    other.limiter.answer = () => Promise.reject("no");
    expect(await other.rate.take()).toMatchObject({ cause: "no" });
  });

  it("knows a limiter by its method", () => {
    expect(isSharedLimiter(new Told())).toBe(true);
    for (const value of [undefined, null, 5, "consume", {}, { consume: 1 }])
      expect(isSharedLimiter(value)).toBe(false);
  });
});
