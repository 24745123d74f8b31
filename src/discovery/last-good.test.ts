/** Tests of a guard that remembers: over a source and a store that are played by hand, in virtual time. */
import { describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.ts";
import { PlayedSource } from "../testing/played-source.ts";
import { Guard, type GuardOptions } from "./guard.ts";
import { list } from "./list.ts";
import type { Snapshot, SnapshotStore } from "./snapshot-file.ts";

const savedAt = Date.UTC(2026, 0, 1);

/** What is "on the disk", and whether it can be read and written. */
class PlayedStore implements SnapshotStore {
  content: Snapshot | undefined;
  readonly written: string[] = [];
  trouble: string | undefined;
  /** Holds writes up while it is set. */
  gate: Promise<void> | undefined;

  constructor(...addresses: readonly string[]) {
    const endpoints = addresses.map((address) => ({ address }));
    if (addresses.length > 0) this.content = { service: "orders", savedAt, endpoints };
  }

  async read(): Promise<Snapshot | undefined> {
    if (this.trouble !== undefined) throw new Error(this.trouble);
    return this.content;
  }

  async write(snapshot: Snapshot): Promise<void> {
    await this.gate;
    if (this.trouble !== undefined) throw new Error(this.trouble);
    this.written.push(snapshot.endpoints.map(({ address }) => address).join(", "));
  }
}

function start(store: PlayedStore, options: Partial<GuardOptions> = {}) {
  const clock = new ManualClock();
  const source = new PlayedSource();
  const applied: string[] = [];
  const errors: string[] = [];
  const guard = new Guard(source, {
    service: "orders",
    scheme: "http",
    allowEmpty: false,
    clock,
    random: () => 0.5,
    wallClock: () => savedAt + 60_000 + clock.now(),
    snapshot: { store, waitMs: 500 },
    apply: (set) => applied.push(set.endpoints.map(({ address }) => address.text).join(", ")),
    report: (error) => errors.push((error as Error).message),
    ...options,
  });
  guard.start();
  return { clock, source, applied, errors, guard };
}

describe("a remembered set", () => {
  it("is used as stale when discovery says nothing in time, and gives way to what it says at last", async () => {
    const { clock, source, applied, errors, guard } = start(
      new PlayedStore("http://a", "http://b", "http://c", "http://d"),
    );
    await clock.advanceAsync(499);
    expect(guard.state.state).toBe("never");
    await clock.advanceAsync(1);
    expect(applied).toEqual(["http://a, http://b, http://c, http://d"]);
    expect(guard.state).toEqual({ state: "stale", staleSince: savedAt });
    expect(errors).toEqual([
      "orders: discovery has named no set; 4 endpoints of 2026-01-01T00:00:00.000Z are used",
    ]);
    // Three of four are gone at once: of a remembered set that is no reason for doubt.
    source.push("http://a", "http://e");
    await clock.advanceAsync(0);
    expect(applied.at(-1)).toBe("http://a, http://e");
    expect(guard.state.state).toBe("fresh");
    expect(errors).toHaveLength(1);
  });

  it("is used at once when discovery fails, or ends without a word", async () => {
    const failing = start(new PlayedStore("http://a"));
    failing.source.fail("down");
    await failing.clock.advanceAsync(0);
    expect(failing.applied).toEqual(["http://a"]);
    const silent = start(new PlayedStore("http://a"));
    silent.source.end();
    await silent.clock.advanceAsync(0);
    expect(silent.applied).toEqual(["http://a"]);
  });

  it("is not used when discovery answers", async () => {
    const { clock, source, applied, errors } = start(new PlayedStore("http://a"));
    source.push("http://b");
    await clock.advanceAsync(0);
    source.report("down");
    await clock.advanceAsync(60_000);
    expect(applied).toEqual(["http://b"]);
    expect(errors).toEqual(["down"]);
  });

  it("stands against an empty answer, as a known set does, unless that may be meant", async () => {
    const doubting = start(new PlayedStore("http://a"));
    doubting.source.push();
    await doubting.clock.advanceAsync(30_000);
    expect(doubting.applied).toEqual(["", "http://a"]);
    expect(doubting.guard.state.state).toBe("stale");
    const believing = start(new PlayedStore("http://a"), { allowEmpty: true });
    believing.source.push();
    await believing.clock.advanceAsync(30_000);
    expect(believing.applied).toEqual([""]);
    expect(believing.guard.state.state).toBe("fresh");
  });

  it("loses its bad endpoints alone; one that cannot be read, or has no good one, is reported and left", async () => {
    const mixed = start(new PlayedStore("http://a", "http://b:0"));
    await mixed.clock.advanceAsync(500);
    expect(mixed.applied).toEqual(["http://a"]);
    const useless = start(new PlayedStore("http://b:0"));
    await useless.clock.advanceAsync(500);
    expect(useless.applied).toEqual([]);
    expect(useless.guard.state.state).toBe("never");
    const store = new PlayedStore();
    store.trouble = "not JSON";
    const broken = start(store);
    await broken.clock.advanceAsync(500);
    expect(broken.errors).toEqual(["not JSON"]);
    const missing = start(new PlayedStore());
    await missing.clock.advanceAsync(500);
    expect([missing.applied, missing.errors]).toEqual([[], []]);
  });
});

describe("a believed set", () => {
  it("is written at once, then the latest of each second or so, and never one that is doubted", async () => {
    const store = new PlayedStore();
    const { clock, source } = start(store);
    source.push("http://a", "http://b");
    await clock.advanceAsync(0);
    expect(store.written).toEqual(["http://a, http://b"]);
    for (let round = 0; round < 10; round++) {
      source.push("http://a", `http://c${round}`);
      await clock.advanceAsync(200);
    }
    await clock.advanceAsync(2_000);
    expect(store.written.length).toBeLessThan(4);
    expect(store.written.at(-1)).toBe("http://a, http://c9");
    const { length } = store.written;
    source.push();
    await clock.advanceAsync(60_000);
    expect(store.written).toHaveLength(length);
  });

  it("is written one at a time, and the newest last", async () => {
    const store = new PlayedStore();
    let open = (): void => {};
    store.gate = new Promise((resolve) => {
      open = resolve;
    });
    const { clock, source } = start(store);
    for (const address of ["http://a", "http://b", "http://c"]) {
      source.push(address);
      await clock.advanceAsync(5_000);
    }
    expect(store.written).toEqual([]);
    open();
    await clock.advanceAsync(0);
    expect(store.written).toEqual(["http://a", "http://c"]);
  });

  it("may fail to be written: that is reported, and the next one is", async () => {
    const store = new PlayedStore();
    const { clock, source, errors } = start(store);
    store.trouble = "disk full";
    source.push("http://a");
    await clock.advanceAsync(2_000);
    store.trouble = undefined;
    source.push("http://b");
    await clock.advanceAsync(2_000);
    expect(errors).toEqual(["disk full"]);
    expect(store.written).toEqual(["http://b"]);
  });

  it("is written when the disk is good again, though nothing has changed, and its trouble is told of once", async () => {
    const store = new PlayedStore();
    const { clock, source, errors, guard } = start(store);
    store.trouble = "disk full";
    source.push("http://a");
    await clock.advanceAsync(10 * 60_000);
    expect(errors).toEqual(["disk full"]);
    store.trouble = undefined;
    await clock.advanceAsync(60_000);
    expect(store.written).toEqual(["http://a"]);
    store.trouble = "disk full";
    source.push("http://b");
    await clock.advanceAsync(2_000);
    expect(errors).toEqual(["disk full", "disk full"]);
    guard.close();
    expect(clock.pendingTimers).toBe(0);
  });

  it("does not write an older set that failed over a newer one", async () => {
    const store = new PlayedStore();
    let open = (): void => {};
    store.gate = new Promise((resolve) => {
      open = resolve;
    });
    const { clock, source, errors } = start(store);
    await clock.advanceAsync(0);
    store.trouble = "disk full";
    source.push("http://a");
    await clock.advanceAsync(5_000);
    source.push("http://b");
    await clock.advanceAsync(5_000);
    const { write } = store;
    let writes = 0;
    store.write = (snapshot) => {
      writes++;
      store.trouble = undefined;
      return write.call(store, snapshot);
    };
    open();
    await clock.advanceAsync(10 * 60_000);
    expect(errors).toEqual(["disk full"]);
    expect([writes, store.written]).toEqual([1, ["http://b"]]);
  });

  it("leaves no timer when the guard is closed, and lists have no use for any of it", async () => {
    const { clock, guard, source } = start(new PlayedStore("http://a"));
    source.push("http://b");
    await clock.advanceAsync(0);
    guard.close();
    await clock.advanceAsync(0);
    expect(clock.pendingTimers).toBe(0);
    const store = new PlayedStore("http://a");
    const applied: number[] = [];
    const listed = new Guard(list(["http://c", "http://d"]), {
      service: "orders",
      scheme: "http",
      allowEmpty: false,
      clock,
      random: () => 0,
      snapshot: { store, waitMs: 500 },
      apply: ({ endpoints }) => applied.push(endpoints.length),
      report: () => {},
    });
    listed.start();
    await clock.advanceAsync(10_000);
    expect(applied).toEqual([2]);
    expect(store.written).toEqual([]);
  });
});
