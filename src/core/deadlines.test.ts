/** Tests that every deadline is met exactly once, in order, with one timer. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.ts";
import type { Clock } from "./clock.ts";
import { type Deadline, Deadlines, type Lane } from "./deadlines.ts";

class Entry implements Deadline {
  dueAt = 0;
  lane: Lane | undefined = undefined;
  earlier: Deadline | undefined = undefined;
  later: Deadline | undefined = undefined;
  readonly expiredAt: number[] = [];
  onExpire: (now: number) => void = () => {};

  expire(now: number): void {
    this.expiredAt.push(now);
    this.onExpire(now);
  }
}

function createHarness() {
  const clock = new ManualClock(1_000);
  const deadlines = new Deadlines<Entry>(clock);
  const add = (dueAt: number, entry = new Entry()): Entry => {
    entry.dueAt = dueAt;
    deadlines.add(entry);
    return entry;
  };
  return { clock, deadlines, add };
}

describe("Deadlines", () => {
  it("expires an entry when it is due, not before", () => {
    const { clock, deadlines, add } = createHarness();
    const entry = add(1_500);
    clock.advance(499.9);
    expect(entry.expiredAt).toEqual([]);
    clock.advance(0.1);
    expect(entry.expiredAt).toEqual([1_500]);
    expect(entry.lane).toBeUndefined();
    expect(deadlines.size).toBe(0);
    expect(clock.pendingTimers).toBe(0);
  });

  it("expires what is due already at the next turn, not within add", () => {
    const { clock, add } = createHarness();
    const entry = add(5);
    expect(entry.expiredAt).toEqual([]);
    clock.advance(0);
    expect(entry.expiredAt).toEqual([1_000]);
  });

  it("removes what is there, and nothing else", () => {
    const { clock, deadlines, add } = createHarness();
    const [first, second] = [add(1_100), add(1_200)];
    deadlines.remove(first);
    deadlines.remove(first);
    deadlines.remove(new Entry());
    expect(deadlines.entries()).toEqual([second]);
    // Else what is over would keep others from being freed.
    const links = { lane: undefined, earlier: undefined, later: undefined };
    expect(first).toMatchObject(links);
    for (const entry of [add(1_300), add(1_400), add(1_500)].reverse()) {
      deadlines.remove(entry);
      expect(entry).toMatchObject(links);
    }
    clock.advance(1_000);
    expect([first.expiredAt, second.expiredAt]).toEqual([[], [1_200]]);
  });

  it("lets an entry add itself again as it expires, even as due at once", () => {
    const { clock, deadlines, add } = createHarness();
    const entry = add(1_100);
    entry.onExpire = (now) => {
      if (entry.expiredAt.length === 1) add(now - 50, entry);
      else if (entry.expiredAt.length === 2) add(now + 300, entry);
    };
    clock.advance(299);
    expect(entry.expiredAt).toEqual([1_100, 1_100]);
    clock.advance(1_000);
    expect(entry.expiredAt).toEqual([1_100, 1_100, 1_400]);
    expect(deadlines.size).toBe(0);
  });

  it("does not expire at once what another entry of the same round adds again", () => {
    const { clock, add } = createHarness();
    const [first, second] = [add(1_100), add(1_100)];
    first.onExpire = () => {
      add(1_700, second);
    };
    clock.advance(500);
    expect(second.expiredAt).toEqual([]);
    clock.advance(500);
    expect(second.expiredAt).toEqual([1_700]);
  });

  it("does not expire what another entry, due earlier, removes", () => {
    const { clock, deadlines, add } = createHarness();
    const [first, second] = [add(1_100), add(1_101)];
    first.onExpire = () => deadlines.remove(second);
    clock.advance(500);
    expect(second.expiredAt).toEqual([]);
  });

  it("expires the others of a round, and those to come, when one throws", () => {
    const { clock, add } = createHarness();
    const [first, second, third] = [add(1_100), add(1_100), add(1_300)];
    first.onExpire = () => {
      throw new Error("not my day");
    };
    expect(() => clock.advance(150)).toThrow("not my day");
    expect(second.expiredAt).toEqual([1_100]);
    clock.advance(500);
    expect(third.expiredAt).toEqual([1_300]);
  });

  it("keeps the order of times that all differ, however many and in whatever order they come", () => {
    const times = fc.array(fc.integer({ min: 1_001, max: 3_000 }), { minLength: 50, maxLength: 200 });
    fc.assert(
      fc.property(times, fc.boolean(), (dueAts, isFalling) => {
        const { clock, add } = createHarness();
        const order: number[] = [];
        const sorted = dueAts.toSorted((left, right) => left - right);
        for (const dueAt of isFalling ? sorted.toReversed() : dueAts) {
          add(dueAt).onExpire = (now) => {
            expect(now).toBe(dueAt);
            order.push(dueAt);
          };
        }
        clock.advance(3_000);
        expect(order).toEqual(sorted);
      }),
    );
  });

  it("expires late and in order after the process was blocked", () => {
    const { clock, add } = createHarness();
    const order: number[] = [];
    for (const dueAt of [1_300, 1_100, 1_200]) {
      add(dueAt).onExpire = () => order.push(dueAt);
    }
    clock.block(5_000);
    clock.advance(0);
    expect(order).toEqual([1_100, 1_200, 1_300]);
  });

  it("waits with one timer, whatever comes", () => {
    const { clock, deadlines, add } = createHarness();
    for (const dueAt of [1_500, 1_100, 1_900, 1_050]) {
      add(dueAt);
      expect(clock.pendingTimers).toBe(1);
    }
    deadlines.close();
    expect(clock.pendingTimers).toBe(0);
    clock.advance(10_000);
    expect(deadlines.entries().every(({ expiredAt }) => expiredAt.length === 0)).toBe(true);
  });

  it("keeps the process alive only while something waits", () => {
    const alive = new Set<object>();
    const manual = new ManualClock();
    const clock: Clock = {
      now: () => manual.now(),
      schedule: (callback, delayMs) => {
        const key = {};
        const timer = manual.schedule(() => {
          alive.delete(key);
          callback();
        }, delayMs);
        return {
          cancel: () => {
            alive.delete(key);
            timer.cancel();
          },
          keepAlive: (isAlive) => {
            if (isAlive) alive.add(key);
            else alive.delete(key);
          },
        };
      },
    };
    const deadlines = new Deadlines<Entry>(clock);
    const [first, second] = [new Entry(), new Entry()];
    first.dueAt = 100;
    second.dueAt = 200;
    deadlines.add(first);
    deadlines.add(second);
    expect(alive.size).toBe(1);
    deadlines.remove(first);
    expect(alive.size).toBe(1);
    deadlines.remove(second);
    expect(alive.size).toBe(0);
    deadlines.add(second);
    expect(alive.size).toBe(1);
    manual.advance(150);
    // The timer of the removed head has fired, and found nothing due.
    expect(alive.size).toBe(1);
    manual.advance(100);
    expect(second.expiredAt).toEqual([200]);
    expect(alive.size).toBe(0);
  });

  it("expires each entry once, in order of dueAt and never early, whatever is added and removed", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("add" as const), ms: fc.integer({ min: -50, max: 500 }) }),
      fc.record({ kind: fc.constant("remove" as const), ms: fc.nat() }),
      fc.record({ kind: fc.constant("advance" as const), ms: fc.integer({ min: 0, max: 200 }) }),
      fc.record({ kind: fc.constant("block" as const), ms: fc.integer({ min: 0, max: 300 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const { clock, deadlines, add } = createHarness();
        const all: Entry[] = [];
        const waiting = new Set<Entry>();
        /** Of the entries that expire within one round of the timer. */
        let round: { readonly now: number; readonly dueAt: number } = { now: -1, dueAt: -1 };
        for (const { kind, ms } of steps) {
          if (kind === "add") {
            const entry = add(clock.now() + ms);
            all.push(entry);
            waiting.add(entry);
            // It may be due before those that expired already at this very time.
            round = { now: -1, dueAt: -1 };
            entry.onExpire = (now) => {
              expect(waiting.delete(entry)).toBe(true);
              expect(now).toBeGreaterThanOrEqual(entry.dueAt);
              if (round.now === now) expect(entry.dueAt).toBeGreaterThanOrEqual(round.dueAt);
              for (const other of waiting) expect(other.dueAt).toBeGreaterThanOrEqual(entry.dueAt);
              round = { now, dueAt: entry.dueAt };
            };
          } else if (kind === "remove") {
            const entry = all[ms % Math.max(1, all.length)];
            if (entry === undefined) continue;
            deadlines.remove(entry);
            waiting.delete(entry);
          } else if (kind === "advance") {
            clock.advance(ms);
            for (const { dueAt } of waiting) expect(dueAt).toBeGreaterThan(clock.now());
          } else {
            clock.block(ms);
          }
          expect(deadlines.size).toBe(waiting.size);
          expect(new Set(deadlines.entries())).toEqual(waiting);
          expect(clock.pendingTimers).toBeLessThanOrEqual(1);
          if (waiting.size > 0) expect(clock.pendingTimers).toBe(1);
        }
        clock.advance(1_000);
        expect(waiting.size).toBe(0);
        expect(clock.pendingTimers).toBe(0);
        expect(all.every(({ expiredAt }) => expiredAt.length <= 1)).toBe(true);
      }),
    );
  });
});
