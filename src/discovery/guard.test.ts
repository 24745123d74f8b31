/** Tests of the guard over a source that is played by hand, in virtual time. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Discovery, DiscoveryContext } from "../core/contracts.ts";
import type { Endpoint } from "../core/endpoint.ts";
import { createSeededRandom } from "../core/random.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { Guard, type GuardedSet, type GuardOptions } from "./guard.ts";
import { list } from "./list.ts";

type Snapshot = readonly (Endpoint | string)[];

/** One call of `watch`, played from the outside. */
class ScriptedWatch {
  readonly context: DiscoveryContext;
  readonly startedAt: number;
  isReleased = false;
  readonly #steps: (() => IteratorResult<readonly Endpoint[]>)[] = [];
  #wake: (() => void) | undefined;

  constructor(context: DiscoveryContext, startedAt: number) {
    this.context = context;
    this.startedAt = startedAt;
  }

  push(...addresses: Snapshot): void {
    this.pushRaw(addresses);
  }

  /** What a source that does not keep to the contract may yield. */
  pushRaw(value: unknown): void {
    this.#add(() => ({ done: false, value: value as readonly Endpoint[] }));
  }

  fail(message: string): void {
    this.#add(() => {
      throw new Error(message);
    });
  }

  end(): void {
    this.#add(() => ({ done: true, value: undefined }));
  }

  async next(): Promise<IteratorResult<readonly Endpoint[]>> {
    for (;;) {
      const step = this.#steps.shift();
      if (step !== undefined) return step();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async return(): Promise<IteratorResult<readonly Endpoint[]>> {
    this.isReleased = true;
    return { done: true, value: undefined };
  }

  #add(step: () => IteratorResult<readonly Endpoint[]>): void {
    this.#steps.push(step);
    this.#wake?.();
  }
}

interface Harness {
  readonly clock: ManualClock;
  readonly guard: Guard;
  /** All watches so far, and the present one. */
  readonly watches: ScriptedWatch[];
  readonly watch: ScriptedWatch;
  /** Keys of each applied set; a suspect has a question mark. */
  readonly applied: string[][];
  readonly sets: GuardedSet[];
  readonly errors: string[];
  readonly last: readonly string[] | undefined;
}

function createHarness(
  options: Partial<GuardOptions> & { readonly discovery?: Discovery; readonly seed?: number } = {},
): Harness {
  const clock = new ManualClock(1_000);
  const watches: ScriptedWatch[] = [];
  const applied: string[][] = [];
  const sets: GuardedSet[] = [];
  const errors: string[] = [];
  const scripted: Discovery = {
    watch: (context) => {
      const watch = new ScriptedWatch(context, clock.now());
      watches.push(watch);
      return { [Symbol.asyncIterator]: () => watch };
    },
  };
  const { discovery = scripted, seed = 1, ...rest } = options;
  const guard = new Guard(discovery, {
    service: "orders",
    scheme: "http",
    allowEmpty: false,
    clock,
    random: createSeededRandom(seed),
    wallClock: () => 1_700_000_000_000 + clock.now(),
    apply: (set) => {
      sets.push(set);
      applied.push(
        set.endpoints.map(({ address: { text } }) => (set.suspects.has(text) ? `${text}?` : text)),
      );
    },
    report: (error) => {
      errors.push(error instanceof Error ? error.message : String(error));
    },
    ...rest,
  });
  return {
    clock,
    guard,
    watches,
    applied,
    sets,
    errors,
    get watch() {
      return watches.at(-1) as ScriptedWatch;
    },
    get last() {
      return applied.at(-1);
    },
  };
}

const many = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, index) => `http://node${from + index}`);
const suspect = (keys: readonly string[]): string[] => keys.map((key) => `${key}?`);

/** Debounce, and whatever a test is not about, has passed. */
const quietMs = 1_000;

async function startWith(harness: Harness, ...addresses: Snapshot): Promise<void> {
  harness.guard.start();
  harness.watch.push(...addresses);
  await harness.clock.advanceAsync(quietMs);
}

describe("Guard", () => {
  it("knows nothing before the first snapshot, and applies that at once", async () => {
    const harness = createHarness();
    const { clock, guard } = harness;
    expect(harness.watches).toHaveLength(0);
    guard.start();
    guard.start();
    expect(harness.watches).toHaveLength(1);
    expect(harness.watch.context.service).toBe("orders");
    expect(guard.state).toEqual({ state: "never", staleSince: undefined });
    harness.watch.push("a", { address: "http://b:80", weight: 2 });
    await clock.advanceAsync(0);
    expect(harness.applied).toEqual([["http://a", "http://b"]]);
    expect(harness.sets[0]?.endpoints[1]?.weight).toBe(2);
    expect(guard.state).toEqual({ state: "fresh", staleSince: undefined });
  });

  it("applies nothing when nothing changed, in whatever order and spelling", async () => {
    const harness = createHarness();
    await startWith(harness, "http://a", "http://b");
    harness.watch.push("B:80", { address: "http://a", weight: 1, metadata: {} });
    await harness.clock.advanceAsync(quietMs);
    expect(harness.applied).toHaveLength(1);
    harness.watch.push("http://a", { address: "http://b", weight: 2 });
    await harness.clock.advanceAsync(quietMs);
    expect(harness.applied).toHaveLength(2);
  });

  it("keeps the object of each unchanged endpoint from set to set", async () => {
    const harness = createHarness();
    await startWith(harness, { address: "http://a", metadata: { version: "1" } }, "http://b");
    harness.watch.push({ address: "http://a", metadata: { version: "1" } }, "http://c");
    await harness.clock.advanceAsync(quietMs);
    expect(harness.last).toEqual(["http://a", "http://c"]);
    expect(harness.sets[1]?.endpoints[0]).toBe(harness.sets[0]?.endpoints[0]);
  });

  it("merges what comes in quick succession", async () => {
    const harness = createHarness();
    const { clock } = harness;
    harness.guard.start();
    for (let count = 1; count <= 5; count++) {
      harness.watch.push(...many(count));
      await clock.advanceAsync(20);
    }
    expect(harness.applied).toEqual([many(1)]);
    await clock.advanceAsync(100);
    expect(harness.applied).toEqual([many(1), many(5)]);
  });

  it("applies at least once a second while the registry flaps, and one set for a node that stays", async () => {
    const harness = createHarness();
    await startWith(harness, "http://a", "http://b");
    const startedAt = harness.clock.now();
    for (let round = 0; round < 100; round++) {
      harness.watch.push("http://a", ...(round % 2 === 0 ? [] : ["http://b"]));
      await harness.clock.advanceAsync(50);
    }
    await harness.clock.advanceAsync(quietMs);
    const seconds = (harness.clock.now() - startedAt) / 1_000;
    expect(harness.applied.length).toBeLessThanOrEqual(seconds + 2);
    expect(harness.last).toEqual(["http://a", "http://b"]);
    for (const { endpoints } of harness.sets) expect(endpoints[0]).toBe(harness.sets[0]?.endpoints[0]);
  });

  it("refuses bad endpoints alone", async () => {
    const harness = createHarness();
    await startWith(harness, "http://a", { address: "http://b", weight: -1 }, "a:80");
    expect(harness.applied).toEqual([["http://a"]]);
    expect(harness.errors).toEqual([
      expect.stringContaining("http://b"),
      expect.stringContaining('"a:80" is the same instance as "http://a"'),
    ]);
    expect(harness.guard.state.state).toBe("fresh");
  });

  it.each([null, undefined, "http://a", { endpoints: ["http://b"] }, new Array(100_001)])(
    "keeps the set as stale when a snapshot is no list of endpoints, and stays with the watch (%#)",
    async (nonsense) => {
      const harness = createHarness();
      await startWith(harness, "http://a");
      harness.watch.pushRaw(nonsense);
      await harness.clock.advanceAsync(quietMs);
      expect(harness.errors).toEqual([expect.stringMatching(/^a snapshot (must be|has)/)]);
      expect(harness.guard.state.state).toBe("stale");
      harness.watch.push("http://b");
      await harness.clock.advanceAsync(quietMs);
      expect(harness.applied).toEqual([["http://a"], ["http://b"]]);
      expect(harness.guard.state.state).toBe("fresh");
      expect(harness.watches).toHaveLength(1);
    },
  );
});

describe("Guard, when the source fails", () => {
  it("keeps the set as stale, watches again and is fresh with the next snapshot", async () => {
    const harness = createHarness();
    await startWith(harness, "http://a");
    const failedAt = harness.clock.now();
    harness.watch.fail("connection lost");
    await harness.clock.advanceAsync(0);
    expect(harness.errors).toEqual(["connection lost"]);
    expect(harness.guard.state).toEqual({ state: "stale", staleSince: 1_700_000_000_000 + failedAt });
    await harness.clock.advanceAsync(100);
    expect(harness.watches).toHaveLength(2);
    expect(harness.watches[0]?.context.signal.aborted).toBe(true);
    expect(harness.watches[1]?.context.signal.aborted).toBe(false);
    harness.watch.fail("still lost");
    await harness.clock.advanceAsync(200);
    // Since the first failure, not the last.
    expect(harness.guard.state.staleSince).toBe(1_700_000_000_000 + failedAt);
    harness.watch.push("http://a");
    await harness.clock.advanceAsync(0);
    expect(harness.guard.state).toEqual({ state: "fresh", staleSince: undefined });
    expect(harness.applied).toEqual([["http://a"]]);
  });

  it("stays `never` until something is known", async () => {
    const harness = createHarness();
    harness.guard.start();
    harness.watch.fail("refused");
    await harness.clock.advanceAsync(0);
    expect(harness.guard.state).toEqual({ state: "never", staleSince: undefined });
    expect(harness.applied).toEqual([]);
  });

  it("waits with full jitter, doubling from 100 ms to 30 s, for ever", async () => {
    const draws: number[] = [];
    const random = createSeededRandom(7);
    const harness = createHarness({
      random: () => {
        const draw = random();
        draws.push(draw);
        return draw;
      },
    });
    harness.guard.start();
    for (let failure = 0; failure < 20; failure++) {
      const { startedAt } = harness.watch;
      harness.watch.fail("refused");
      await harness.clock.advanceAsync(30_000);
      const ceilingMs = Math.min(30_000, 100 * 2 ** failure);
      const waitedMs = harness.watch.startedAt - startedAt;
      // The wait for the failure itself is the rest of the 30 s of the round before.
      const idleMs = failure === 0 ? 0 : harness.clock.now() - 30_000 - startedAt;
      expect(waitedMs - idleMs).toBeCloseTo((draws[failure] as number) * ceilingMs, 6);
    }
    expect(harness.watches).toHaveLength(21);
    expect(harness.errors).toHaveLength(20);
  });

  it("starts from 100 ms again after a watch that was good for 10 s, and not before", async () => {
    const harness = createHarness({ random: () => 0.999 });
    harness.guard.start();
    const waitAfterFailure = async (): Promise<number> => {
      const watches = harness.watches.length;
      const failedAt = harness.clock.now();
      harness.watch.fail("lost");
      while (harness.watches.length === watches) await harness.clock.advanceAsync(10);
      return harness.watch.startedAt - failedAt;
    };
    for (let failure = 0; failure < 6; failure++) await waitAfterFailure();
    harness.watch.push("http://a");
    await harness.clock.advanceAsync(9_900);
    expect(await waitAfterFailure()).toBeGreaterThan(6_000);
    // Time without a snapshot is not stability.
    await harness.clock.advanceAsync(20_000);
    expect(await waitAfterFailure()).toBeGreaterThan(12_000);
    harness.watch.push("http://a");
    await harness.clock.advanceAsync(10_000);
    expect(await waitAfterFailure()).toBeLessThanOrEqual(100);
  });

  it("uses what came right before the failure, and is stale nevertheless", async () => {
    const harness = createHarness();
    harness.guard.start();
    harness.watch.push("http://a");
    harness.watch.push("http://b");
    harness.watch.fail("lost");
    await harness.clock.advanceAsync(0);
    expect(harness.applied).toEqual([["http://a"], ["http://b"]]);
    expect(harness.guard.state.state).toBe("stale");
  });

  it("is stale after an error that the source deals with itself, until it says something", async () => {
    const harness = createHarness();
    await startWith(harness, "http://a");
    harness.watch.context.report(new Error("reconnecting"));
    expect(harness.errors).toEqual(["reconnecting"]);
    expect(harness.guard.state.state).toBe("stale");
    harness.watch.push("http://a");
    await harness.clock.advanceAsync(0);
    expect(harness.guard.state.state).toBe("fresh");
    expect(harness.watches).toHaveLength(1);
  });

  it("takes a return for the end: the set is final and fresh", async () => {
    const harness = createHarness();
    harness.guard.start();
    harness.watch.push("http://a");
    harness.watch.push("http://b");
    harness.watch.end();
    await harness.clock.advanceAsync(0);
    expect(harness.applied).toEqual([["http://a"], ["http://b"]]);
    await harness.clock.advanceAsync(3_600_000);
    expect(harness.watches).toHaveLength(1);
    expect(harness.guard.state.state).toBe("fresh");
    expect(harness.errors).toEqual([]);
    expect(harness.clock.pendingTimers).toBe(0);
  });

  it("tells of a source that ended without saying anything", async () => {
    const harness = createHarness();
    harness.guard.start();
    harness.watch.end();
    await harness.clock.advanceAsync(0);
    expect(harness.errors).toEqual(["orders: discovery ended without naming a set"]);
    expect(harness.guard.state.state).toBe("never");
  });

  it.each<[string, Discovery["watch"]]>([
    [
      "throws in watch itself",
      () => {
        throw new Error("no such thing");
      },
    ],
    ["returns nothing", () => undefined as unknown as AsyncIterable<readonly Endpoint[]>],
    [
      "has an iterator that yields nonsense",
      () => ({ [Symbol.asyncIterator]: () => ({ next: async () => undefined as never }) }),
    ],
    [
      "throws from the iterator at once, and from its return",
      () => ({
        [Symbol.asyncIterator]: () => ({
          next: () => {
            throw new Error("at once");
          },
          return: () => {
            throw new Error("from return");
          },
        }),
      }),
    ],
  ])("backs off from a source that %s", async (_what, watch) => {
    const harness = createHarness({ discovery: { watch } });
    harness.guard.start();
    await harness.clock.advanceAsync(10_000);
    expect(harness.errors.length).toBeGreaterThan(3);
    expect(harness.errors.length).toBeLessThan(40);
    harness.guard.close();
    expect(harness.clock.pendingTimers).toBe(0);
  });

  it("is not starved by a source that yields without end", async () => {
    let yields = 0;
    const harness = createHarness({
      discovery: {
        async *watch() {
          for (;;) {
            yields++;
            yield [{ address: "http://a", weight: yields }];
          }
        },
      },
    });
    harness.guard.start();
    await harness.clock.advanceAsync(1_000);
    expect(yields).toBeLessThanOrEqual(1_200);
    expect(harness.applied.length).toBeGreaterThan(1);
    harness.guard.close();
    expect(harness.clock.pendingTimers).toBe(0);
    const yieldsAtClose = yields;
    await harness.clock.advanceAsync(1_000);
    expect(yields).toBe(yieldsAtClose);
  });
});

describe("Guard, when the registry is empty", () => {
  it("applies an empty first snapshot as it is", async () => {
    const harness = createHarness();
    await startWith(harness);
    expect(harness.applied).toEqual([[]]);
    expect(harness.guard.state.state).toBe("fresh");
    expect(harness.errors).toEqual([]);
    harness.watch.push();
    await harness.clock.advanceAsync(20_000);
    expect(harness.applied).toHaveLength(1);
    expect(harness.watches).toHaveLength(1);
  });

  it.each([
    ["an empty set", [] as Snapshot],
    ["a set of bad endpoints only", [{ address: "http://a", weight: -1 }, "ftp://b"] as Snapshot],
  ])("holds the old set against %s, asks again after 10 s, and keeps it", async (_what, nothing) => {
    const harness = createHarness();
    await startWith(harness, "http://a", "http://b");
    const emptyAt = harness.clock.now();
    harness.watch.push(...nothing);
    await harness.clock.advanceAsync(0);
    expect(harness.errors.at(-1)).toBe(
      "orders: discovery reports no usable endpoint; the 2 known stay until that is sure",
    );
    expect(harness.guard.state).toEqual({ state: "stale", staleSince: 1_700_000_000_000 + emptyAt });
    await harness.clock.advanceAsync(9_999);
    expect(harness.watches).toHaveLength(1);
    await harness.clock.advanceAsync(1);
    expect(harness.watches).toHaveLength(2);
    expect(harness.watches[0]?.context.signal.aborted).toBe(true);
    expect(harness.watches[0]?.isReleased).toBe(true);
    harness.watch.push(...nothing);
    await harness.clock.advanceAsync(0);
    expect(harness.errors.at(-1)).toBe(
      "orders: discovery still reports no usable endpoint; the 2 known stay in use",
    );
    harness.watch.push(...nothing);
    await harness.clock.advanceAsync(60_000);
    // Said twice, asked once.
    expect(harness.errors.filter((error) => error.includes("usable"))).toHaveLength(2);
    expect(harness.watches).toHaveLength(2);
    expect(harness.applied).toEqual([["http://a", "http://b"]]);
    expect(harness.guard.state.state).toBe("stale");
    harness.watch.push("http://a", "http://b");
    await harness.clock.advanceAsync(quietMs);
    expect(harness.guard.state.state).toBe("fresh");
    expect(harness.applied).toHaveLength(1);
  });

  it("applies it once it is confirmed, if that is allowed", async () => {
    const harness = createHarness({ allowEmpty: true });
    await startWith(harness, ...many(5));
    harness.watch.push();
    await harness.clock.advanceAsync(10_000);
    expect(harness.applied).toHaveLength(1);
    harness.watch.push();
    await harness.clock.advanceAsync(0);
    // Believed whole: none of the five is kept as suspect.
    expect(harness.applied).toEqual([many(5), []]);
    expect(harness.guard.state.state).toBe("fresh");
    expect(harness.errors).toEqual([
      expect.stringContaining("stay until that is sure"),
      expect.stringContaining("are dropped, as allowEmpty is set"),
    ]);
    harness.watch.push("http://a");
    await harness.clock.advanceAsync(quietMs);
    expect(harness.last).toEqual(["http://a"]);
  });

  it("does not ask again when endpoints come back in time, and doubts anew the next time", async () => {
    const harness = createHarness({ allowEmpty: true });
    await startWith(harness, "http://a");
    harness.watch.push();
    await harness.clock.advanceAsync(9_000);
    harness.watch.push("http://a");
    await harness.clock.advanceAsync(quietMs);
    expect(harness.watches).toHaveLength(1);
    harness.watch.push();
    await harness.clock.advanceAsync(9_999);
    expect(harness.watches).toHaveLength(1);
    expect(harness.last).toEqual(["http://a"]);
  });

  it("needs a fresh list: repeated empty pushes of the same watch confirm nothing", async () => {
    const harness = createHarness({ allowEmpty: true });
    await startWith(harness, "http://a");
    for (let second = 0; second < 30; second++) {
      if (second < 9) harness.watches[0]?.push();
      await harness.clock.advanceAsync(1_000);
    }
    expect(harness.applied).toEqual([["http://a"]]);
    harness.watches[0]?.push();
    await harness.clock.advanceAsync(quietMs);
    expect(harness.applied).toEqual([["http://a"]]);
    harness.watch.push();
    await harness.clock.advanceAsync(0);
    expect(harness.last).toEqual([]);
  });

  it("takes no snapshot that is still held back for the fresh list", async () => {
    const harness = createHarness({ allowEmpty: true });
    await startWith(harness, "http://a");
    harness.watch.push();
    await harness.clock.advanceAsync(9_930);
    harness.watch.push();
    await harness.clock.advanceAsync(10);
    harness.watch.push();
    await harness.clock.advanceAsync(70);
    expect(harness.watches).toHaveLength(2);
    expect(harness.applied).toEqual([["http://a"]]);
  });

  it("lets endpoints that are still held back end the doubt", async () => {
    const harness = createHarness({ allowEmpty: true });
    await startWith(harness, "http://a");
    harness.watch.push();
    await harness.clock.advanceAsync(9_930);
    harness.watch.push();
    await harness.clock.advanceAsync(10);
    harness.watch.push("http://b");
    await harness.clock.advanceAsync(70);
    expect(harness.last).toEqual(["http://b"]);
    harness.watch.push();
    await harness.clock.advanceAsync(quietMs);
    expect(harness.last).toEqual(["http://b"]);
  });

  it("asks the next watch when the source fails meanwhile, and one that had ended", async () => {
    const harness = createHarness({ allowEmpty: true, random: () => 0.999 });
    await startWith(harness, "http://a");
    harness.watch.push();
    await harness.clock.advanceAsync(10_000);
    harness.watch.fail("down");
    await harness.clock.advanceAsync(100);
    expect(harness.watches).toHaveLength(3);
    harness.watch.push();
    await harness.clock.advanceAsync(quietMs);
    expect(harness.last).toEqual([]);

    const ended = createHarness({ allowEmpty: true });
    await startWith(ended, "http://a");
    ended.watch.push();
    ended.watch.end();
    await ended.clock.advanceAsync(10_000);
    expect(ended.watches).toHaveLength(2);
    ended.watch.push();
    ended.watch.end();
    await ended.clock.advanceAsync(60_000);
    expect(ended.last).toEqual([]);
    expect(ended.watches).toHaveLength(2);
  });

  it("waits out the backoff when it is due to ask", async () => {
    const harness = createHarness({ allowEmpty: true, random: () => 0.999, backoffMs: 30_000 });
    await startWith(harness, "http://a");
    harness.watch.push();
    await harness.clock.advanceAsync(5_000);
    harness.watch.fail("down");
    await harness.clock.advanceAsync(20_000);
    expect(harness.watches).toHaveLength(1);
    await harness.clock.advanceAsync(10_000);
    expect(harness.watches).toHaveLength(2);
    harness.watch.push();
    await harness.clock.advanceAsync(quietMs);
    expect(harness.last).toEqual([]);
  });
});

describe("Guard, when most endpoints go at once", () => {
  it("keeps them as suspect for 60 s", async () => {
    const harness = createHarness();
    await startWith(harness, ...many(10));
    const shrunkAt = harness.clock.now();
    harness.watch.push(...many(4), "http://new");
    await harness.clock.advanceAsync(0);
    expect(harness.last).toEqual([...many(4), "http://new", ...suspect(many(6, 4))]);
    expect(harness.guard.state.state).toBe("fresh");
    expect(harness.errors).toEqual([
      "orders: one update removed 6 of 10 endpoints; they stay as suspect for up to 60000 ms",
    ]);
    // Unchanged: applied once, reported once.
    harness.watch.push(...many(4), "http://new");
    await harness.clock.advanceAsync(shrunkAt + 59_999 - harness.clock.now());
    expect(harness.applied).toHaveLength(2);
    await harness.clock.advanceAsync(1);
    expect(harness.last).toEqual([...many(4), "http://new"]);
    expect(harness.errors).toHaveLength(1);
    expect(harness.clock.pendingTimers).toBe(0);
  });

  it("removes half, or two, at once", async () => {
    const harness = createHarness();
    await startWith(harness, ...many(10));
    harness.watch.push(...many(5));
    await harness.clock.advanceAsync(quietMs);
    expect(harness.last).toEqual(many(5));
    harness.watch.push(...many(3));
    await harness.clock.advanceAsync(quietMs);
    harness.watch.push(...many(1));
    await harness.clock.advanceAsync(quietMs);
    expect(harness.last).toEqual(many(1));
    expect(harness.errors).toEqual([]);
  });

  it("drops a suspect as soon as it is confirmed gone, and nobody else", async () => {
    const harness = createHarness();
    await startWith(harness, ...many(4));
    harness.watch.push(...many(1));
    await harness.clock.advanceAsync(quietMs);
    harness.guard.confirmGone("http://node2");
    expect(harness.last).toEqual([...many(1), "http://node1?", "http://node3?"]);
    harness.guard.confirmGone("http://node2");
    harness.guard.confirmGone("http://node0");
    harness.guard.confirmGone("http://unknown");
    expect(harness.applied).toHaveLength(3);
  });

  it("takes a suspect that is back for an ordinary endpoint", async () => {
    const harness = createHarness();
    await startWith(harness, ...many(4));
    harness.watch.push(...many(1));
    await harness.clock.advanceAsync(quietMs);
    harness.watch.push(...many(2));
    await harness.clock.advanceAsync(quietMs);
    expect(harness.last).toEqual([...many(2), ...suspect(many(2, 2))]);
    harness.guard.confirmGone("http://node1");
    expect(harness.applied).toHaveLength(3);
    await harness.clock.advanceAsync(60_000);
    expect(harness.last).toEqual(many(2));
  });

  it("gives each bulk its own grace", async () => {
    const harness = createHarness();
    await startWith(harness, ...many(13));
    harness.watch.push(...many(6));
    await harness.clock.advanceAsync(30_000);
    harness.watch.push(...many(2));
    await harness.clock.advanceAsync(0);
    expect(harness.last).toEqual([...many(2), ...suspect(many(7, 6)), ...suspect(many(4, 2))]);
    await harness.clock.advanceAsync(30_000);
    expect(harness.last).toEqual([...many(2), ...suspect(many(4, 2))]);
    await harness.clock.advanceAsync(30_000);
    expect(harness.last).toEqual(many(2));
  });

  it("drops nothing while the source is down, and what is overdue with its next snapshot", async () => {
    const harness = createHarness({ random: () => 0 });
    await startWith(harness, ...many(4));
    harness.watch.push(...many(1));
    await harness.clock.advanceAsync(1_000);
    harness.watch.fail("down");
    await harness.clock.advanceAsync(120_000);
    expect(harness.last).toEqual([...many(1), ...suspect(many(3, 1))]);
    harness.watch.push(...many(1));
    await harness.clock.advanceAsync(0);
    expect(harness.last).toEqual(many(1));
  });

  it("holds ordinary ones and suspects alike when the registry is empty after all", async () => {
    const harness = createHarness();
    await startWith(harness, ...many(4));
    harness.watch.push(...many(1));
    await harness.clock.advanceAsync(1_000);
    harness.watch.push();
    await harness.clock.advanceAsync(120_000);
    expect(harness.last).toEqual([...many(1), ...suspect(many(3, 1))]);
    expect(harness.guard.state.state).toBe("stale");
  });
});

describe("Guard over a source with subscribe", () => {
  it("applies every set at once, shrunk and empty ones too", () => {
    const nodes = list(many(10));
    const harness = createHarness({ discovery: nodes });
    harness.guard.start();
    expect(harness.applied).toEqual([many(10)]);
    expect(harness.guard.state.state).toBe("fresh");
    nodes.set(many(1));
    nodes.set([]);
    nodes.add("http://a");
    expect(harness.applied).toEqual([many(10), many(1), [], ["http://a"]]);
    nodes.add("http://a");
    expect(harness.applied).toHaveLength(4);
    expect(harness.errors).toEqual([]);
    expect(harness.clock.pendingTimers).toBe(0);
    harness.guard.close();
    nodes.set([]);
    expect(harness.applied).toHaveLength(4);
  });

  it("checks them", () => {
    const harness = createHarness({ discovery: list(["http://a", "a:80", "http://b"]) });
    harness.guard.start();
    expect(harness.applied).toEqual([["http://a", "http://b"]]);
    expect(harness.errors).toEqual([expect.stringContaining('"a:80" is the same instance as "http://a"')]);
  });

  it("serves several clusters, each with its own scheme", () => {
    const nodes = list(["a:8080"]);
    const plain = createHarness({ discovery: nodes });
    const secure = createHarness({ discovery: nodes, scheme: "https" });
    plain.guard.start();
    secure.guard.start();
    plain.guard.close();
    nodes.add("b:8080");
    expect(plain.applied).toEqual([["http://a:8080"]]);
    expect(secure.last).toEqual(["https://a:8080", "https://b:8080"]);
  });

  it("ends with the last set when applying one changes the list", () => {
    const nodes = list(["http://a"]);
    const applied: number[] = [];
    const harness = createHarness({
      discovery: nodes,
      apply: ({ endpoints }) => {
        applied.push(endpoints.length);
        if (endpoints.length === 2) nodes.add("http://c");
      },
    });
    harness.guard.start();
    nodes.add("http://b");
    expect(applied).toEqual([1, 2, 3]);
  });

  it("ends the subscription, and says nothing more, when closed from within `apply`", () => {
    let isEnded = false;
    const harness = createHarness({
      discovery: {
        watch: async function* () {},
        subscribe: (apply) => {
          apply([{ address: "http://a" }, { address: "http://b", weight: -1 }]);
          return () => {
            isEnded = true;
          };
        },
      },
      apply: () => harness.guard.close(),
    });
    harness.guard.start();
    expect(isEnded).toBe(true);
    expect(harness.errors).toEqual([]);
  });

  it("ends the subscription when closed later", () => {
    let isEnded = false;
    const harness = createHarness({
      discovery: {
        watch: async function* () {},
        subscribe: () => () => {
          isEnded = true;
        },
      },
    });
    harness.guard.start();
    expect(isEnded).toBe(false);
    harness.guard.close();
    expect(isEnded).toBe(true);
  });

  it("reports a subscription that fails", () => {
    const harness = createHarness({
      discovery: {
        watch: async function* () {},
        subscribe: () => {
          throw new Error("broken");
        },
      },
    });
    harness.guard.start();
    expect(harness.errors).toEqual(["broken"]);
  });
});

describe("Guard, closing and mistakes", () => {
  it("leaves no timer, watch or message behind", async () => {
    const harness = createHarness();
    await startWith(harness, ...many(10));
    const { watch } = harness;
    watch.push(...many(3));
    watch.push(...many(2));
    await harness.clock.advanceAsync(0);
    watch.push();
    await harness.clock.advanceAsync(500);
    expect(harness.clock.pendingTimers).toBeGreaterThan(0);
    const { length } = harness.applied;
    harness.guard.close();
    expect(harness.clock.pendingTimers).toBe(0);
    expect(watch.context.signal.aborted).toBe(true);
    expect(watch.isReleased).toBe(true);
    const errors = harness.errors.length;
    // What a source that does not listen may still do.
    watch.push("http://late");
    watch.context.report(new Error("late"));
    watch.fail("late");
    harness.guard.confirmGone("http://node5");
    harness.guard.close();
    harness.guard.start();
    await harness.clock.advanceAsync(100_000);
    expect(harness.applied).toHaveLength(length);
    expect(harness.errors).toHaveLength(errors);
    expect(harness.clock.pendingTimers).toBe(0);
    expect(harness.watches).toHaveLength(1);
  });

  it("closes while backing off, and before it was started", async () => {
    const harness = createHarness();
    harness.guard.start();
    harness.watch.fail("down");
    await harness.clock.advanceAsync(0);
    expect(harness.clock.pendingTimers).toBe(1);
    harness.guard.close();
    expect(harness.clock.pendingTimers).toBe(0);
    const unused = createHarness();
    unused.guard.close();
    unused.guard.start();
    expect(unused.watches).toHaveLength(0);
  });

  it("runs the `finally` of a generator that waits at a yield", async () => {
    let isReleased = false;
    const harness = createHarness({
      discovery: {
        async *watch() {
          try {
            yield [{ address: "http://a" }];
            await new Promise(() => {});
          } finally {
            isReleased = true;
          }
        },
      },
      apply: () => harness.guard.close(),
    });
    harness.guard.start();
    await harness.clock.advanceAsync(0);
    expect(isReleased).toBe(true);
    expect(harness.clock.pendingTimers).toBe(0);
  });

  it("ignores a watch that it gave up, late values and errors alike", async () => {
    const harness = createHarness();
    await startWith(harness, "http://a");
    const [first] = harness.watches as [ScriptedWatch];
    first.push();
    await harness.clock.advanceAsync(10_000);
    expect(harness.watches).toHaveLength(2);
    first.push("http://late");
    first.context.report(new Error("late"));
    first.fail("late");
    harness.watch.push("http://a", "http://b");
    await harness.clock.advanceAsync(quietMs);
    expect(harness.last).toEqual(["http://a", "http://b"]);
    expect(harness.errors).toHaveLength(1);
    expect(harness.watches).toHaveLength(2);
  });

  it("reports what `apply` throws, goes on, and applies again what may not have arrived", async () => {
    let isBroken = true;
    const sizes: number[] = [];
    const harness = createHarness({
      apply: ({ endpoints }) => {
        sizes.push(endpoints.length);
        if (isBroken) throw new Error("a bug in the cluster");
      },
    });
    await startWith(harness, "http://a");
    expect(harness.errors).toEqual(["a bug in the cluster"]);
    expect(harness.watches).toHaveLength(1);
    isBroken = false;
    harness.watch.push("http://a");
    await harness.clock.advanceAsync(quietMs);
    harness.watch.push("http://a");
    await harness.clock.advanceAsync(quietMs);
    expect(sizes).toEqual([1, 1]);
    expect(harness.watches).toHaveLength(1);
    expect(harness.errors).toHaveLength(1);
  });

  it("lets a listener act on an error: the guard is settled by then", () => {
    const nodes = list(["http://a", "a:80"]);
    const harness = createHarness({ discovery: nodes, report: () => nodes.set(["http://b"]) });
    harness.guard.start();
    expect(harness.applied).toEqual([["http://a"], ["http://b"]]);
  });
});

describe("Guard under any sequence of events", () => {
  type Event =
    | { readonly kind: "push"; readonly nodes: readonly number[] }
    | { readonly kind: "fail" }
    | { readonly kind: "report" }
    | { readonly kind: "gone"; readonly node: number }
    | { readonly kind: "wait"; readonly ms: number };
  const node = fc.nat(7);
  const event: fc.Arbitrary<Event> = fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant("push" as const), nodes: fc.uniqueArray(node) }) },
    fc.record({ kind: fc.constant("fail" as const) }),
    fc.record({ kind: fc.constant("report" as const) }),
    fc.record({ kind: fc.constant("gone" as const), node }),
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.nat(15_000) }) },
  );

  it("never empties the set, and ends with the last good snapshot", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 30 }), fc.integer(), async (events, seed) => {
        const harness = createHarness({ seed });
        harness.guard.start();
        let known = false;
        for (const one of events) {
          if (one.kind === "push") harness.watch.push(...one.nodes.map((index) => `http://node${index}`));
          else if (one.kind === "fail") harness.watch.fail("down");
          else if (one.kind === "report") harness.watch.context.report(new Error("trouble"));
          else if (one.kind === "gone") harness.guard.confirmGone(`http://node${one.node}`);
          await harness.clock.advanceAsync(one.kind === "wait" ? one.ms : 0);
          known ||= (harness.last?.length ?? 0) > 0;
          if (known) expect(harness.last).not.toEqual([]);
        }
        // Whatever happened, a registry that is well again is believed when the grace is over.
        await harness.clock.advanceAsync(30_000);
        const final = ["http://node1", "http://node3"];
        harness.watch.push(...final);
        await harness.clock.advanceAsync(62_000);
        expect(harness.last?.toSorted()).toEqual(final);
        expect(harness.guard.state.state).toBe("fresh");
        expect(harness.clock.pendingTimers).toBe(0);
        for (const { endpoints, suspects } of harness.sets) {
          const keys = new Set(endpoints.map(({ address }) => address.text));
          expect(keys.size).toBe(endpoints.length);
          for (const key of suspects) expect(keys.has(key)).toBe(true);
        }
        harness.guard.close();
      }),
      { numRuns: 60 },
    );
  });
});
