/** Tests of the first source that works, over sources that are played by hand, in virtual time. */
import { describe, expect, it } from "vitest";
import type { Clock } from "../core/clock.ts";
import { longestTimerMs } from "../core/option-reader.ts";
import { discoveryContract } from "../testing/discovery-contract.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { PlayedSource } from "../testing/played-source.ts";
import { watchInBackground } from "../testing/watched.ts";
import { type FallbackOptions, fallback } from "./fallback.ts";
import { Guard } from "./guard.ts";
import { list } from "./list.ts";

function play(options: FallbackOptions = {}) {
  const clock = new ManualClock();
  const [a, b, c] = [new PlayedSource(), new PlayedSource(), new PlayedSource()];
  const watched = watchInBackground(fallback(a, b, c, { clock, random: () => 0, ...options }));
  return { clock, a, b, c, ...watched };
}

describe("fallback", () => {
  it("uses the first source, and does not even watch the others while that answers", async () => {
    const { clock, a, b, c, events } = play();
    a.push("http://a");
    await clock.advanceAsync(60_000);
    a.push("http://a2");
    await clock.advanceAsync(0);
    expect(events).toEqual(["http://a", "http://a2"]);
    expect([a.watches, b.watches, c.watches]).toEqual([1, 0, 0]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("goes on to the next when a source does not answer in time, and back as soon as it does", async () => {
    const { clock, a, b, c, events } = play({ waitMs: 300 });
    b.push("http://b");
    await clock.advanceAsync(299);
    expect([a.watches, b.watches, c.watches]).toEqual([1, 0, 0]);
    await clock.advanceAsync(1);
    expect(events).toEqual(["http://b"]);
    a.push("http://a");
    await clock.advanceAsync(0);
    expect(events).toEqual(["http://b", "http://a"]);
    expect([a.open, b.open, c.open]).toEqual([1, 0, 0]);
  });

  it("goes on at once when a source fails before it has answered, however many do", async () => {
    const { clock, a, b, c, events } = play();
    a.fail("a is down");
    b.report("never heard");
    b.fail("b is down");
    c.push("http://c");
    await clock.advanceAsync(0);
    expect(events).toEqual(["! a is down", "! b is down", "http://c"]);
  });

  it("sets no timer that a real clock would take for none, however long a source may be stale", async () => {
    const manual = new ManualClock();
    const delays: number[] = [];
    const clock: Clock = {
      now: () => manual.now(),
      schedule(callback, delayMs) {
        delays.push(delayMs);
        return manual.schedule(callback, delayMs);
      },
    };
    const { a, events } = play({ clock, staleMs: 30 * 86_400_000 });
    a.push("http://a");
    await manual.advanceAsync(0);
    a.report("lost its server");
    await manual.advanceAsync(29 * 86_400_000);
    expect(events.at(-1)).toBe("! lost its server");
    expect(delays.length).toBeLessThan(10);
    expect(Math.max(...delays)).toBeLessThanOrEqual(longestTimerMs);
  });

  it("keeps to a source that has answered once, for as long as it is told", async () => {
    const forEver = play();
    forEver.a.push("http://a");
    await forEver.clock.advanceAsync(0);
    forEver.a.report("lost its server");
    await forEver.clock.advanceAsync(86_400_000);
    expect(forEver.events).toEqual(["http://a", "! lost its server"]);
    expect(forEver.b.watches).toBe(0);

    const { clock, a, b, events } = play({ staleMs: 60_000 });
    a.push("http://a");
    b.push("http://b");
    await clock.advanceAsync(0);
    a.report("lost its server");
    await clock.advanceAsync(30_000);
    // It counts from the first error on.
    a.report("still lost");
    await clock.advanceAsync(29_999);
    expect(events.at(-1)).toBe("! still lost");
    await clock.advanceAsync(1);
    expect(events.at(-1)).toBe("http://b");
    a.push("http://a");
    await clock.advanceAsync(0);
    expect(events.at(-1)).toBe("http://a");
    expect(b.open).toBe(0);
  });

  it("keeps the first one's last set while those after it have none", async () => {
    const { clock, a, b, c, events } = play({ staleMs: 1_000 });
    a.push("http://a");
    await clock.advanceAsync(0);
    a.report("lost");
    await clock.advanceAsync(1_000);
    expect([b.watches, c.watches]).toEqual([1, 0]);
    await clock.advanceAsync(500);
    expect([b.watches, c.watches]).toEqual([1, 1]);
    await clock.advanceAsync(60_000);
    expect(events).toEqual(["http://a", "! lost"]);
  });

  it("is as fresh as the source in use, whatever another one's errors say", async () => {
    const clock = new ManualClock();
    const [a, b] = [new PlayedSource(), new PlayedSource()];
    const errors: unknown[] = [];
    const guard = new Guard(fallback(a, b, { clock, random: () => 0 }), {
      service: "orders",
      scheme: "http",
      allowEmpty: false,
      clock,
      random: () => 0,
      apply: () => {},
      report: (error) => errors.push(error),
    });
    guard.start();
    a.fail("a is down");
    b.push("http://b");
    await clock.advanceAsync(2_000);
    expect(guard.state.state).toBe("fresh");
    a.report("a is still down");
    await clock.advanceAsync(2_000);
    expect(errors).toHaveLength(2);
    expect(guard.state.state).toBe("fresh");
    b.report("b is down too");
    await clock.advanceAsync(2_000);
    expect(guard.state.state).toBe("stale");
    b.push("http://b");
    await clock.advanceAsync(2_000);
    expect(guard.state.state).toBe("fresh");
    guard.close();
    await clock.advanceAsync(0);
    expect([a.open, b.open, clock.pendingTimers]).toEqual([0, 0, 0]);
  });

  it("ends when the source in use has, unless one before it may still answer", async () => {
    const { clock, a, b, events, ended } = play();
    a.fail("down");
    b.push("http://b");
    b.end();
    await clock.advanceAsync(10_000);
    expect(events).toEqual(["! down", "http://b"]);
    a.push("http://a");
    a.end();
    await ended;
    expect(events.at(-1)).toBe("http://a");
  });

  it("refuses what is no source and what is no option", () => {
    expect(() => fallback()).toThrow(/fallback\(\) needs at least one source/);
    expect(() => fallback([], { stale: 5 } as FallbackOptions)).toThrow(/did you mean "staleMs"/);
    expect(() => fallback([], { staleMs: -5 })).toThrow(/fallback\.staleMs must be/);
  });
});

describe("fallback as a source", () => {
  const contract = discoveryContract(async () => {
    const second = list([]);
    const never = new PlayedSource();
    return {
      discovery: fallback(never, second, { waitMs: 5 }),
      openHandles: () => never.open,
      publish: async (endpoints) => second.set(endpoints),
      takesBadEndpoints: false,
      dispose: async () => {},
    };
  });
  for (const { name, run } of contract) it(name, run);
});
