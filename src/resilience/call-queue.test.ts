/** Tests who waits for a place, who gets it, and who is told that he will not. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CallPriority } from "../core/contracts.ts";
import { createSeededRandom } from "../core/random.ts";
import { CallQueue, type QueuedCall } from "./call-queue.ts";

interface Call extends QueuedCall {
  readonly name: string;
}
const call = (name: string, priority: CallPriority = "default", endsAt = Number.POSITIVE_INFINITY): Call => ({
  name,
  priority,
  endsAt,
});
const names = (calls: readonly (Call | undefined)[]) => calls.map((taken) => taken?.name);
const rules = { size: 3, maxWaitMs: 100 };

/** A queue that has not been empty for as long as a call may wait. */
function overloaded(size = 3): CallQueue<Call> {
  const queue = new CallQueue<Call>({ size, maxWaitMs: 100 });
  queue.add(call("first"), 0, 0);
  queue.add(call("second"), 99, 0);
  expect(queue.take(99, 0)?.name).toBe("first");
  return queue;
}

describe("CallQueue in calm", () => {
  it("hands out the oldest first", () => {
    const queue = new CallQueue<Call>(rules);
    for (const name of ["a", "b", "c"]) expect(queue.add(call(name), 0, 0)).toBeUndefined();
    expect(names([queue.take(1, 0), queue.take(1, 0), queue.take(1, 0), queue.take(1, 0)])).toEqual([
      "a",
      "b",
      "c",
      undefined,
    ]);
  });

  it("hands out the most important first", () => {
    const queue = new CallQueue<Call>(rules);
    queue.add(call("sheddable", "sheddable"), 0, 0);
    queue.add(call("default"), 0, 0);
    queue.add(call("critical", "critical"), 0, 0);
    expect(names([queue.take(1, 0), queue.take(1, 0), queue.take(1, 0)])).toEqual([
      "critical",
      "default",
      "sheddable",
    ]);
  });

  it("refuses what finds no room, and pushes out the newest of the least important for what is more important", () => {
    const queue = new CallQueue<Call>(rules);
    const [old, young] = [call("old", "sheddable"), call("young", "sheddable")];
    queue.add(old, 0, 0);
    queue.add(young, 1, 0);
    queue.add(call("default"), 2, 0);
    const late = call("late", "sheddable");
    expect(queue.add(late, 3, 0)).toBe(late);
    expect(queue.add(call("more"), 3, 0)).toBe(young);
    expect(queue.add(call("critical", "critical"), 3, 0)).toBe(old);
    const equal = call("equal");
    expect(queue.add(equal, 3, 0)).toBe(equal);
    expect(queue.size).toBe(3);
  });

  it("has no room at all with a size of 0", () => {
    const queue = new CallQueue<Call>({ size: 0, maxWaitMs: 100 });
    const only = call("only", "critical");
    expect(queue.add(only, 0, 0)).toBe(only);
    expect(queue.take(0, 0)).toBeUndefined();
    expect(queue.nextDueAt).toBe(Number.POSITIVE_INFINITY);
  });

  it("lets each wait for the longest wait, and no longer", () => {
    const queue = new CallQueue<Call>(rules);
    queue.add(call("a"), 10, 0);
    expect(queue.nextDueAt).toBe(110);
    expect(queue.expire(109)).toEqual([]);
    expect(names(queue.expire(110))).toEqual(["a"]);
    expect(queue.size).toBe(0);
    expect(queue.nextDueAt).toBe(Number.POSITIVE_INFINITY);
  });

  it("takes out whoever goes by himself", () => {
    const queue = new CallQueue<Call>(rules);
    const [stays, goes] = [call("stays"), call("goes")];
    queue.add(goes, 0, 0);
    queue.add(stays, 0, 0);
    expect(queue.remove(goes)).toBe(true);
    expect(queue.remove(goes)).toBe(false);
    expect(queue.take(1, 0)).toBe(stays);
    expect(queue.remove(stays)).toBe(false);
  });
});

describe("CallQueue and deadlines", () => {
  it("does not take in what cannot finish", () => {
    const queue = new CallQueue<Call>(rules);
    const hopeless = call("hopeless", "critical", 50);
    expect(queue.add(hopeless, 41, 10)).toBe(hopeless);
    expect(queue.add(hopeless, 40, 10)).toBeUndefined();
  });

  it("never hands out what cannot finish any more, but returns it as expired", () => {
    const queue = new CallQueue<Call>(rules);
    queue.add(call("short", "critical", 50), 0, 10);
    queue.add(call("long", "default", 500), 0, 10);
    expect(queue.take(45, 10)?.name).toBe("long");
    expect(queue.nextDueAt).toBeLessThanOrEqual(45);
    expect(names(queue.expire(45))).toEqual(["short"]);
    expect(queue.expire(45)).toEqual([]);
  });

  it("lets one that was passed over go by himself, once", () => {
    const queue = new CallQueue<Call>(rules);
    const short = call("short", "default", 50);
    queue.add(short, 0, 10);
    expect(queue.take(45, 10)).toBeUndefined();
    expect(queue.size).toBe(0);
    expect(queue.remove(short)).toBe(true);
    expect(queue.remove(short)).toBe(false);
    expect(queue.expire(45)).toEqual([]);
  });

  it("ends a wait at the deadline", () => {
    const queue = new CallQueue<Call>(rules);
    queue.add(call("short", "default", 30), 0, 0);
    expect(queue.nextDueAt).toBe(30);
    expect(queue.expire(29)).toEqual([]);
    expect(names(queue.expire(30))).toEqual(["short"]);
  });
});

describe("CallQueue under overload", () => {
  it("begins when it has not been empty for the longest wait, and ends when it is", () => {
    const queue = overloaded();
    expect(queue.isOverloaded(99)).toBe(false);
    expect(queue.isOverloaded(100)).toBe(true);
    queue.take(100, 0);
    expect(queue.isOverloaded(100)).toBe(false);
    queue.add(call("later"), 200, 0);
    expect(queue.isOverloaded(200)).toBe(false);
  });

  it("hands out the newest first, of the most important", () => {
    const queue = overloaded();
    queue.add(call("newest"), 101, 0);
    queue.add(call("sheddable", "sheddable"), 101, 0);
    expect(names([queue.take(101, 0), queue.take(101, 0), queue.take(101, 0)])).toEqual([
      "newest",
      "second",
      "sheddable",
    ]);
  });

  it("pushes out the oldest for a new one, but none that is more important", () => {
    const queue = overloaded(2);
    queue.add(call("third"), 101, 0);
    expect(queue.add(call("fourth"), 102, 0)?.name).toBe("second");
    const sheddable = call("sheddable", "sheddable");
    expect(queue.add(sheddable, 102, 0)).toBe(sheddable);
  });

  it("tells those who were not reached soon", () => {
    const queue = overloaded();
    queue.add(call("third"), 101, 0);
    // A twentieth of the longest wait.
    expect(queue.nextDueAt).toBeLessThanOrEqual(104);
    expect(names(queue.expire(104))).toEqual(["second"]);
    expect(queue.nextDueAt).toBe(106);
    expect(names(queue.expire(106))).toEqual(["third"]);
  });

  it("tells those who were waiting when it began", () => {
    const queue = overloaded();
    const early = call("early");
    queue.add(early, 99, 0);
    expect(queue.nextDueAt).toBeLessThanOrEqual(104);
    expect(names(queue.expire(104))).toEqual(["second", "early"]);
  });
});

/** One worker, `load` times what it can do, by chance; each call has 300 ms. */
function serve(load: number, serviceMs: number, maxWaitMs: number, seed: number) {
  const random = createSeededRandom(seed);
  const queue = new CallQueue<Call & { readonly at: number }>({ size: 1_000, maxWaitMs });
  let freeAt = 0;
  let nextAt = 0;
  let now = 0;
  let served = 0;
  let waitedMs = 0;
  const endMs = 60_000;
  while (nextAt < endMs) {
    // Whatever comes first: the worker is free for one who waits, or a call comes.
    now = queue.size > 0 ? Math.max(now, Math.min(nextAt, freeAt)) : nextAt;
    queue.expire(now);
    if (queue.size > 0 && freeAt <= now) {
      const taken = queue.take(now, serviceMs);
      if (taken === undefined) continue;
      served++;
      waitedMs += now - taken.at;
      freeAt = now + serviceMs;
    } else {
      const arrived = { ...call("x", "default", now + 300), at: now };
      queue.add(arrived, now, serviceMs);
      nextAt = now - (serviceMs / load) * Math.log(1 - random());
    }
  }
  return { busy: (served * serviceMs) / endMs, waitMs: waitedMs / served, size: queue.size };
}

describe("CallQueue before a worker", () => {
  it.each([
    [1.2, 10, 100],
    [3, 10, 100],
    [3, 50, 200],
    [10, 10, 1_000],
  ])(
    "keeps it busy at %d times its capacity, and serves calls that have hardly waited",
    (load, serviceMs, maxWaitMs) => {
      for (const seed of [1, 2, 3]) {
        const { busy, waitMs, size } = serve(load, serviceMs, maxWaitMs, seed);
        expect(busy).toBeGreaterThan(0.95);
        expect(waitMs).toBeLessThan(2 * serviceMs);
        expect(size).toBeLessThan(200);
      }
    },
  );

  it("loses next to none at 90% of its capacity", () => {
    for (const seed of [1, 2, 3]) expect(serve(0.9, 10, 1_000, seed).busy).toBeGreaterThan(0.88);
  });
});

describe("CallQueue, whatever happens", () => {
  const priority = fc.constantFrom<CallPriority>("critical", "default", "sheddable");
  const step = fc.oneof(
    fc.record({ kind: fc.constant("add" as const), priority, leftMs: fc.integer({ min: -5, max: 300 }) }),
    fc.record({ kind: fc.constant("take" as const) }),
    fc.record({ kind: fc.constant("remove" as const), which: fc.nat(50) }),
    fc.record({ kind: fc.constant("expire" as const) }),
    fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 0, max: 80 }) }),
  );

  it("lets each call leave exactly once, holds no more than it may, and hands out none too late", () => {
    fc.assert(
      fc.property(fc.nat(5), fc.nat(20), fc.array(step, { maxLength: 200 }), (size, atLeastMs, steps) => {
        const queue = new CallQueue<Call>({ size, maxWaitMs: 100 });
        // Those that were taken in and have not left, be it that `take` passed them over.
        const inside = new Set<Call>();
        const all: Call[] = [];
        const leave = (gone: Call) => expect(inside.delete(gone)).toBe(true);
        let now = 0;
        for (const next of steps) {
          if (next.kind === "pass") now += next.ms;
          if (next.kind === "add") {
            const added = call(String(all.length), next.priority, now + next.leftMs);
            all.push(added);
            inside.add(added);
            const loser = queue.add(added, now, atLeastMs);
            if (loser !== undefined) leave(loser);
          }
          if (next.kind === "take") {
            const taken = queue.take(now, atLeastMs);
            if (taken !== undefined) {
              expect(taken.endsAt - now).toBeGreaterThanOrEqual(atLeastMs);
              leave(taken);
            }
          }
          if (next.kind === "remove") {
            const gone = all[next.which];
            if (gone !== undefined && inside.has(gone)) {
              expect(queue.remove(gone)).toBe(true);
              leave(gone);
            } else if (gone !== undefined) expect(queue.remove(gone)).toBe(false);
          }
          if (next.kind === "expire") for (const gone of queue.expire(now)) leave(gone);
          expect(queue.size).toBeLessThanOrEqual(Math.min(size, inside.size));
          if (inside.size > 0) expect(queue.nextDueAt).toBeLessThan(Number.POSITIVE_INFINITY);
        }
        for (const gone of queue.expire(now + 1_000)) leave(gone);
        expect(inside.size).toBe(0);
        expect(queue.size).toBe(0);
      }),
    );
  });
});
