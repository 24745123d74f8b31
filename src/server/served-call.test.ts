/** Tests of one served call: what its handler is told, and that it ends once, in virtual time. */
import { describe, expect, it } from "vitest";
import { ManualClock } from "../testing/manual-clock.ts";
import { ServedCall } from "./served-call.ts";

function serve(timeoutMs = Number.POSITIVE_INFINITY) {
  const clock = new ManualClock(1_000);
  const ends: (readonly [result: string, latencyMs: number])[] = [];
  const counter = {
    clock,
    ended: (_: ServedCall, result: string, latencyMs: number) => ends.push([result, latencyMs]),
  };
  let expired = 0;
  const arrival = { priority: "sheddable", endsAt: 1_000 + timeoutMs, isCounted: true } as const;
  const call = new ServedCall(counter, arrival, 1_000, () => expired++);
  const reason = () => (call.context.signal?.reason as Error | undefined)?.name;
  return { clock, call, ends, reason, expired: () => expired };
}

describe("a served call", () => {
  it("gives its handler deadline and priority", () => {
    const { call } = serve(250);
    expect(call.context.remainingMs()).toBe(250);
    expect(call.context.priority).toBe("sheddable");
    expect(serve().call.context.remainingMs()).toBe(Number.POSITIVE_INFINITY);
  });

  it("takes as long as until its headers, and ends once", () => {
    const { clock, call, ends, reason } = serve(250);
    clock.advance(20);
    call.answered();
    clock.advance(30);
    call.ended(false);
    call.gone();
    call.ended(true);
    clock.advance(1_000);
    expect(ends).toEqual([["success", 20]]);
    expect(reason()).toBeUndefined();
  });

  it("is a failure where the answer is one, and ignored where the caller has left", () => {
    const failed = serve();
    failed.call.ended(true);
    expect(failed.ends).toEqual([["failure", 0]]);
    const left = serve(250);
    left.clock.advance(10);
    left.call.gone();
    expect(left.ends).toEqual([["ignored", 10]]);
    expect(left.reason()).toBe("AbortError");
    left.clock.advance(1_000);
    expect(left.expired()).toBe(0);
  });

  it("is a failure when the caller leaves because its time is over, which it notices first", () => {
    const left = serve(250);
    left.clock.advance(226);
    left.call.gone();
    expect(left.ends).toEqual([["failure", 226]]);
    expect(left.reason()).toBe("TimeoutError");
    const leftLater = serve(10_000);
    leftLater.clock.advance(9_949);
    leftLater.call.gone();
    expect(leftLater.ends).toEqual([["ignored", 9_949]]);
  });

  it("is a failure when the deadline passed first, whoever notices", () => {
    const { clock, call, ends, reason, expired } = serve(250);
    clock.advance(249);
    expect(reason()).toBeUndefined();
    clock.advance(1);
    expect(reason()).toBe("TimeoutError");
    expect(expired()).toBe(1);
    expect(ends).toEqual([]);
    call.ended(false);
    expect(ends).toEqual([["failure", 250]]);
  });
});
