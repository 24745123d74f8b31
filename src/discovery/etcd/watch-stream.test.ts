/** Tests of the stream of watches, in virtual time: their making one by one, and the watch over silence. */
import { beforeEach, describe, expect, it } from "vitest";
import { ManualClock } from "../../testing/manual-clock.ts";
import { rangeOf } from "./key-range.ts";
import type { WatchRequest, WatchResponse } from "./messages.ts";
import { type Subscriber, WatchStream } from "./watch-stream.ts";

let clock: ManualClock;
let sent: WatchRequest[];
let failures: string[];
let stream: WatchStream;

beforeEach(() => {
  clock = new ManualClock();
  sent = [];
  failures = [];
  stream = new WatchStream({
    clock,
    send: (request) => void sent.push(request),
    failed: (error) => void failures.push(error.message),
  });
});

function subscriber(prefix: string): Subscriber & { readonly got: WatchResponse[] } {
  const got: WatchResponse[] = [];
  return { range: rangeOf(prefix), next: 7, got, received: (response) => void got.push(response) };
}

function answer(watchId: string, more: Partial<WatchResponse> = {}): void {
  stream.received({
    header: { clusterId: "1", revision: "9", raftTerm: "2" },
    watchId,
    created: false,
    canceled: false,
    compactRevision: "0",
    cancelReason: "",
    fragment: false,
    events: [],
    ...more,
  });
}

const keysAsked = (): readonly unknown[] => sent.map(({ createRequest }) => createRequest?.key.toString());

describe("WatchStream", () => {
  it("asks for watches one after another, and hands each its own answers", () => {
    const [a, b] = [subscriber("a/"), subscriber("b/")];
    stream.add(a);
    stream.add(b);
    expect(keysAsked()).toEqual(["a/"]);
    expect(sent[0]?.createRequest).toMatchObject({ startRevision: 7, progressNotify: true, fragment: true });
    answer("3", { created: true });
    expect(keysAsked()).toEqual(["a/", "b/"]);
    answer("4", { created: true });
    answer("4");
    answer("3");
    answer("4");
    expect([a.got.length, b.got.length]).toEqual([2, 3]);
  });

  it("knows whose request was refused although the answer does not say", () => {
    const [a, b] = [subscriber("a/"), subscriber("b/")];
    stream.add(a);
    stream.add(b);
    answer("-1", { created: true, canceled: true, cancelReason: "no" });
    answer("0", { created: true });
    expect(a.got.map(({ canceled }) => canceled)).toEqual([true]);
    expect(b.got.map(({ canceled }) => canceled)).toEqual([false]);
  });

  it("cancels a watch, also one that is still being made", () => {
    const [a, b, c] = [subscriber("a/"), subscriber("b/"), subscriber("c/")];
    for (const each of [a, b, c]) stream.add(each);
    stream.remove(b);
    stream.remove(a);
    answer("0", { created: true });
    answer("1", { created: true });
    stream.remove(c);
    answer("1");
    expect(sent.map(({ createRequest, ...rest }) => createRequest?.key.toString() ?? rest)).toEqual([
      "a/",
      { cancelRequest: { watchId: "0" } },
      "c/",
      { cancelRequest: { watchId: "1" } },
    ]);
    expect([a.got.length, b.got.length, c.got.length]).toEqual([0, 0, 1]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("asks a silent etcd for progress every 10 s, and is content with any answer", () => {
    stream.add(subscriber("a/"));
    answer("0", { created: true });
    for (let round = 1; round <= 3; round++) {
      clock.advance(10_000);
      expect(sent.filter(({ progressRequest }) => progressRequest !== undefined)).toHaveLength(round);
      answer("-1");
    }
    clock.advance(9_999);
    answer("0");
    clock.advance(9_999);
    expect(sent).toHaveLength(4);
    expect(failures).toEqual([]);
  });

  it("gives up 5 s after it asked in vain", () => {
    stream.add(subscriber("a/"));
    answer("0", { created: true });
    clock.advance(14_999);
    expect(failures).toEqual([]);
    clock.advance(1);
    expect(failures).toEqual(["nothing on the watch stream for 15000 ms"]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("gives up on an etcd that does not answer the request for a watch", () => {
    stream.add(subscriber("a/"));
    clock.advance(15_000);
    expect(failures).toHaveLength(1);
  });

  it("gives etcd time to be heard after this process was blocked itself", () => {
    stream.add(subscriber("a/"));
    answer("0", { created: true });
    clock.advance(10_000);
    clock.block(60_000);
    clock.advance(0);
    expect(failures).toEqual([]);
    answer("-1");
    clock.advance(9_000);
    expect(failures).toEqual([]);
  });

  it("asks nobody while nobody listens", () => {
    const a = subscriber("a/");
    stream.add(a);
    answer("0", { created: true });
    stream.remove(a);
    expect(clock.pendingTimers).toBe(0);
    stream.add(a);
    answer("1", { created: true });
    stream.close();
    expect(clock.pendingTimers).toBe(0);
  });
});
