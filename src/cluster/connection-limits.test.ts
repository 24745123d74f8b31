/** Tests how many connections may exist and be in the making, and who is told when there is room again. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConnectionLimits, type LimitWaiter } from "./connection-limits.ts";

class Waiter implements LimitWaiter {
  told = 0;
  readonly #onTold: () => void;

  constructor(onTold: () => void = () => {}) {
    this.#onTold = onTold;
  }

  roomAppeared(): void {
    this.told++;
    this.#onTold();
  }
}

describe("ConnectionLimits", () => {
  it("allows connections up to the total, those in the making included", () => {
    const limits = new ConnectionLimits(2, 10);
    const waiter = new Waiter();
    expect(limits.start(waiter, false)).toBe(true);
    expect(limits.start(waiter, false)).toBe(true);
    expect(limits.isFull).toBe(true);
    expect(limits.start(waiter, true)).toBe(false);
    limits.connected();
    expect(limits.start(waiter, false)).toBe(false);
    limits.closed();
    expect(waiter.told).toBe(1);
    expect(limits.start(waiter, false)).toBe(true);
  });

  it("bounds those in the making, but never holds a node's first one back", () => {
    const limits = new ConnectionLimits(100, 2);
    const waiter = new Waiter();
    expect([limits.start(waiter, false), limits.start(waiter, false)]).toEqual([true, true]);
    expect(limits.start(waiter, false)).toBe(false);
    expect(limits.start(new Waiter(), true)).toBe(true);
    expect(limits.connecting).toBe(3);
    limits.failed();
    expect(waiter.told).toBe(1);
  });

  it("tells the one that waits longest first, and no more than there is room for", () => {
    const limits = new ConnectionLimits(1, 10);
    limits.start(new Waiter(), true);
    limits.connected();
    const order: string[] = [];
    const taking = (name: string): Waiter => {
      const waiter: Waiter = new Waiter(() => {
        order.push(name);
        limits.start(waiter, true);
      });
      return waiter;
    };
    limits.start(taking("first"), true);
    limits.start(taking("second"), true);
    limits.closed();
    expect(order).toEqual(["first"]);
    limits.failed();
    expect(order).toEqual(["first", "second"]);
  });

  it("forgets who needs none any more", () => {
    const limits = new ConnectionLimits(1, 10);
    const waiter = new Waiter();
    limits.start(new Waiter(), true);
    limits.start(waiter, true);
    expect(limits.hasWaiters).toBe(true);
    limits.forget(waiter);
    limits.failed();
    expect([limits.hasWaiters, waiter.told]).toEqual([false, 0]);
  });

  it("never counts below nothing or above the total, whatever happens in which order", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.constantFrom("start", "first", "connected", "failed", "closed"), { maxLength: 60 }),
        (total, steps) => {
          const limits = new ConnectionLimits(total, 2);
          let connecting = 0;
          let standing = 0;
          for (const step of steps) {
            if (step === "start" || step === "first") {
              if (limits.start(new Waiter(), step === "first")) connecting++;
            } else if (step === "connected" && connecting > 0) {
              connecting--;
              standing++;
              limits.connected();
            } else if (step === "failed" && connecting > 0) {
              connecting--;
              limits.failed();
            } else if (step === "closed" && standing > 0) {
              standing--;
              limits.closed();
            }
            expect(limits.open).toBe(connecting + standing);
            expect(limits.open).toBeLessThanOrEqual(total);
            expect(limits.connecting).toBe(connecting);
          }
        },
      ),
    );
  });
});
