/** Tests of several sources as one, over sources that are played by hand, in virtual time. */
import { describe, expect, it } from "vitest";
import type { Discovery } from "../core/contracts.ts";
import { discoveryContract } from "../testing/discovery-contract.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { PlayedSource } from "../testing/played-source.ts";
import { watchInBackground } from "../testing/watched.ts";
import { list } from "./list.ts";
import { type MergeOptions, merge } from "./merge.ts";

function play(count: number, options: MergeOptions = {}) {
  const clock = new ManualClock();
  const sources = Array.from({ length: count }, () => new PlayedSource());
  const watched = watchInBackground(merge(...sources, { clock, random: () => 0, ...options }));
  const [a = new PlayedSource(), b = new PlayedSource()] = sources;
  return { clock, sources, a, b, ...watched };
}

describe("merge", () => {
  it("waits for all sources, and names each instance once, as the first source does", async () => {
    const { clock, a, b, events } = play(2);
    a.push({ address: "http://10.0.0.1:80", weight: 2 }, "http://10.0.0.2:80");
    await clock.advanceAsync(10);
    expect(events).toEqual([]);
    b.push("10.0.0.1:80", "http://[::ffff:10.0.0.2]", "https://10.0.0.2", "unix:/run/a", "unix:/run//a");
    await clock.advanceAsync(0);
    expect(events).toEqual(["http://10.0.0.1:80, http://10.0.0.2:80, https://10.0.0.2, unix:/run/a"]);
  });

  it("tells its sources when they may ask sooner, and leaves nothing behind", async () => {
    const woken: string[] = [];
    const sleepy = (name: string): Discovery => ({
      async *watch({ signal, wakers }) {
        wakers?.add(() => woken.push(name));
        yield [{ address: `http://${name}` }];
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
    });
    const controller = new AbortController();
    const wakers = new Set<() => void>();
    const { signal } = controller;
    const source = merge(sleepy("a"), sleepy("b"), { clock: new ManualClock() });
    const sets = source.watch({ service: "orders", signal, wakers, report: () => {} });
    const iterator = sets[Symbol.asyncIterator]();
    await iterator.next();
    for (const wake of wakers) wake();
    expect(woken).toEqual(["a", "b"]);
    controller.abort();
    await iterator.next();
    expect(wakers.size).toBe(0);
  });

  it("goes on without a source that has not answered in time, and takes it in when it does", async () => {
    const { clock, a, b, events } = play(2, { waitMs: 300 });
    a.push("http://a");
    await clock.advanceAsync(299);
    expect(events).toEqual([]);
    await clock.advanceAsync(1);
    expect(events).toEqual(["http://a"]);
    b.push("http://b");
    await clock.advanceAsync(0);
    expect(events).toEqual(["http://a", "http://a, http://b"]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("does not wait for a source that has failed, asks it again, and keeps what it said before", async () => {
    const { clock, a, b, events } = play(2);
    a.push("http://a");
    b.fail("b is down");
    await clock.advanceAsync(0);
    expect(events).toEqual(["! b is down", "http://a"]);
    expect(b.watches).toBe(2);
    b.push("http://b");
    await clock.advanceAsync(0);
    b.fail("b is down again");
    await clock.advanceAsync(0);
    a.push("http://a2");
    await clock.advanceAsync(0);
    expect(events.slice(2)).toEqual(["http://a, http://b", "! b is down again", "http://a2, http://b"]);
  });

  it("says once in a while that a source still fails while others change, and that all is well when it is", async () => {
    const { clock, a, b, events } = play(2);
    a.push("http://a0");
    b.push("http://b");
    await clock.advanceAsync(0);
    events.length = 0;
    b.report("b has lost its server");
    for (let round = 1; round <= 8; round++) {
      a.push(`http://a${round}`);
      await clock.advanceAsync(200);
    }
    const reminder = "! orders: 1 of 2 sources still fail";
    expect(events.filter((event) => event === reminder)).toHaveLength(1);
    await clock.advanceAsync(1_000);
    // The last word is that the set is not certain.
    expect(events.at(-1)).toBe(reminder);
    b.push("http://b");
    await clock.advanceAsync(10_000);
    expect(events.at(-1)).toBe("http://a8, http://b");
    expect(clock.pendingTimers).toBe(0);
  });

  it("passes on that all sets are empty, and ends when all sources have", async () => {
    const { clock, a, b, events, ended } = play(2);
    a.push();
    b.push();
    await clock.advanceAsync(0);
    expect(events).toEqual([""]);
    a.end();
    await clock.advanceAsync(0);
    b.push("http://b");
    b.end();
    await ended;
    expect(events).toEqual(["", "http://b"]);
  });

  it("tells of a source that ends without a word, and takes arrays of endpoints for sources", async () => {
    const clock = new ManualClock();
    const a = new PlayedSource();
    a.end();
    const { events } = watchInBackground(merge(a, ["http://b"], { clock }));
    await clock.advanceAsync(0);
    expect(events).toEqual(["! orders: a source ended without naming a set", "http://b"]);
  });

  it("lets go of all sources when it is aborted, also while one of them backs off", async () => {
    const { clock, sources, controller, ended, b } = play(3);
    b.fail("down");
    await clock.advanceAsync(0);
    controller.abort();
    await ended;
    await clock.advanceAsync(100_000);
    expect(sources.map(({ open }) => open)).toEqual([0, 0, 0]);
    expect(clock.pendingTimers).toBe(0);
  });

  it.each<readonly [readonly unknown[], RegExp]>([
    [[], /merge\(\) needs at least one source/],
    [[{}], /merge\(\) needs at least one source/],
    [[7, []], /argument 1 of merge\(\) must be a source or an array of endpoints, got 7/],
    [[[], { waitMs: -1 }], /merge\.waitMs must be/],
    [[[], { wait: 1 }], /unknown option merge\.wait/],
    [[["http://a:0"]], /port 0/],
  ])("refuses %o", (given, message) => {
    expect(() => merge(...(given as []))).toThrow(message);
  });
});

describe("merge as a source", () => {
  const contract = discoveryContract(async () => {
    const odd = list([]);
    const even = list([]);
    return {
      discovery: merge(odd, even),
      publish: async (endpoints) => {
        odd.set(endpoints.filter((_, index) => index % 2 === 1));
        even.set(endpoints.filter((_, index) => index % 2 === 0));
      },
      // A list refuses a bad endpoint where it is made.
      takesBadEndpoints: false,
      dispose: async () => {},
    };
  });
  for (const { name, run } of contract) it(name, run);
});
