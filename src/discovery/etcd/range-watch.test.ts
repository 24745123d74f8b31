/** Tests of the resume rule: what each answer of a watch means for where to go on. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { KeyEvent, ResponseHeader, WatchResponse } from "./messages.ts";
import { RangeWatch } from "./range-watch.ts";

function header(revision: number, raftTerm = 2, clusterId = "1"): ResponseHeader {
  return { clusterId, revision: String(revision), raftTerm: String(raftTerm) };
}

function answer(revision: number, more: Partial<WatchResponse> = {}): WatchResponse {
  return {
    header: header(revision),
    watchId: "0",
    created: false,
    canceled: false,
    compactRevision: "0",
    cancelReason: "",
    fragment: false,
    events: [],
    ...more,
  };
}

function event(modRevision: number): KeyEvent {
  const kv = { key: Buffer.from("k"), value: Buffer.alloc(0), modRevision: String(modRevision), lease: "0" };
  return { type: "PUT", kv };
}

function listedAt(revision: number): RangeWatch {
  const watch = new RangeWatch();
  watch.listed({ header: header(revision), kvs: [] });
  return watch;
}

describe("RangeWatch", () => {
  it("lists first", () => {
    expect(new RangeWatch().next).toBeUndefined();
  });

  it("watches from the revision after the list's", () => {
    expect(listedAt(10).next).toBe(11);
  });

  it("does not go on from the store's revision that comes with `created`", () => {
    const watch = listedAt(10);
    expect(watch.received(answer(5_000, { created: true }))).toEqual({ kind: "joined" });
    expect(watch.next).toBe(11);
  });

  it("goes on after the last event, whatever the store's revision", () => {
    const watch = listedAt(10);
    const batch = Array.from({ length: 1_000 }, (_, index) => event(11 + index));
    expect(watch.received(answer(5_000, { events: batch }))).toEqual({ kind: "events", events: batch });
    expect(watch.next).toBe(1_011);
  });

  it("goes on at a revision of which more events follow", () => {
    const watch = listedAt(10);
    watch.received(answer(20, { events: [event(12), event(13)], fragment: true }));
    expect(watch.next).toBe(13);
    watch.received(answer(20, { events: [event(13)] }));
    expect(watch.next).toBe(14);
  });

  it("goes on after the store's revision of a progress notice", () => {
    const watch = listedAt(10);
    expect(watch.received(answer(90))).toEqual({ kind: "progress" });
    expect(watch.next).toBe(91);
  });

  it("does not trust the answer to a progress request: before 3.4.25 it overtakes events", () => {
    const watch = listedAt(10);
    watch.received(answer(90, { watchId: "-1" }));
    expect(watch.next).toBe(11);
  });

  it("lists again after compaction, which comes without a reason", () => {
    const watch = listedAt(10);
    const news = watch.received(answer(900, { canceled: true, compactRevision: "500" }));
    expect(news).toMatchObject({ kind: "relist", why: expect.stringContaining("500") });
    expect(watch.next).toBeUndefined();
  });

  it.each([
    ["at a lower revision", header(1)],
    ["in a lower term", header(5_000, 1)],
    ["of another cluster", header(5_000, 2, "9")],
  ])("lists again when the store is another one: %s", (_, other) => {
    const watch = listedAt(2_525);
    expect(watch.received(answer(0, { created: true, header: other })).kind).toBe("relist");
    expect(watch.next).toBeUndefined();
  });

  it("believes whatever store was listed, also one at a lower revision", () => {
    const watch = listedAt(2_525);
    watch.listed({ header: header(3), kvs: [] });
    expect(watch.received(answer(3, { created: true }))).toEqual({ kind: "joined" });
    expect(watch.next).toBe(4);
  });

  it.each([
    ["etcdserver: invalid auth token", "unauthorized"],
    ["rpc error: code = Unauthenticated desc = etcdserver: invalid auth token", "unauthorized"],
    ["etcdserver: revision of auth store is old", "unauthorized"],
    ["etcdserver: permission denied", "unauthorized"],
    ["etcdserver: mvcc: required revision has been compacted", "relist"],
    ["watcher is too slow", "refused"],
    ["", "refused"],
  ])("takes the reason %j for %s", (cancelReason, kind) => {
    expect(listedAt(10).received(answer(10, { created: true, canceled: true, cancelReason })).kind).toBe(
      kind,
    );
  });

  it("misses no event, wherever the stream breaks", () => {
    // Each number is how many events one revision has; each event may be the last that arrives before a break.
    const history = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(history, fc.infiniteStream(fc.integer({ min: 1, max: 5 })), (sizes, cuts) => {
        const all = sizes.flatMap((size, index) => Array.from({ length: size }, () => event(11 + index)));
        const watch = listedAt(10);
        const seen = new Set<KeyEvent>();
        for (const cut of cuts) {
          const rest = all.filter(({ kv }) => Number(kv.modRevision) >= (watch.next ?? 0));
          if (rest.length === 0) break;
          watch.received(answer(10 + sizes.length, { created: true }));
          // At most `cut` events in fragments of two arrive; a revision that fits in none is one fragment more.
          const arriving = rest.slice(0, Math.max(cut, 4));
          for (let at = 0; at < arriving.length; at += 2) {
            const events = arriving.slice(at, at + 2);
            const fragment = rest[at + events.length]?.kv.modRevision === events.at(-1)?.kv.modRevision;
            for (const each of events) seen.add(each);
            watch.received(answer(10 + sizes.length, { events, fragment }));
          }
        }
        expect(seen.size).toBe(all.length);
      }),
    );
  });
});
