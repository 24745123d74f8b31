/** Tests what a call inherits from the handler that makes it, and what it tells the next service, in virtual time. */
import { afterEach, describe, expect, it } from "vitest";
import { CallContext, currentContext, runInContext, withDeadline } from "../resilience/call-context.ts";
import { parseDeadlineHeader } from "../resilience/deadline-header.ts";
import { Harness, listen, releaseHarness } from "../testing/call-harness.ts";
import type { NodeAttempt } from "./function-call.ts";

afterEach(releaseHarness);

const get = { method: "GET", path: "/x" };

function contextOf(harness: Harness, leftMs: number, signal?: AbortSignal): CallContext {
  return new CallContext({ endsAt: harness.clock.now() + leftMs, signal, clock: harness.clock });
}

describe("a deadline that is inherited", () => {
  it("ends the call, though its own would be later", async () => {
    const harness = new Harness();
    const context = contextOf(harness, 200);
    const error = await runInContext(context, () => harness.errorOf(() => harness.hang(), get));
    expect(error).toMatchObject({ code: "ERR_DEADLINE" });
    expect(error.message).toContain("within 200 ms");
  });

  it("never makes the call's own longer", async () => {
    const harness = new Harness({ timeouts: { totalMs: 100 } });
    const context = contextOf(harness, 60_000);
    const call = runInContext(context, () => harness.call(() => harness.hang(), get));
    await harness.clock.advanceAsync(100);
    expect(call.ended).toMatchObject({ error: { code: "ERR_DEADLINE" }, at: 100 });
  });

  it("that leaves a node less than it usually needs is not held against it", async () => {
    const harness = new Harness({ discovery: ["http://a"] });
    for (let index = 0; index < 50; index++) {
      const warm = harness.call((attempt) => harness.after(index === 0 ? 10 : 40, attempt, () => 1), get);
      await harness.clock.advanceAsync(40);
      expect(warm.ended?.value).toBe(1);
    }
    await runInContext(contextOf(harness, 50), () => harness.errorOf(() => harness.hang(), get));
    expect(harness.cluster.nodes[0]?.failures).toBe(0);
    await runInContext(contextOf(harness, 500), () => harness.errorOf(() => harness.hang(), get));
    expect(harness.cluster.nodes[0]?.failures).toBe(1);
  });

  it("that is over refuses the call before anything is sent", async () => {
    const rejects = listen("evenkeel:reject");
    const harness = new Harness();
    const error = await runInContext(contextOf(harness, 0), () => harness.errorOf(() => 1, get));
    expect(error.code).toBe("ERR_DEADLINE");
    expect(harness.tried).toEqual([]);
    expect(rejects).toMatchObject([{ code: "ERR_DEADLINE" }]);
  });

  it("makes no attempt that cannot be answered in time", async () => {
    const harness = new Harness();
    for (let index = 0; index < 20; index++) {
      harness.call((attempt) => harness.after(40, attempt, () => 1), get);
    }
    await harness.clock.advanceAsync(50);
    const error = await runInContext(contextOf(harness, 30), () => harness.errorOf(() => 1, get));
    expect(error.message).toContain("30.0 ms are left");
    expect(harness.tried).toHaveLength(20);
  });

  it("makes no retry that cannot be answered in time", async () => {
    const harness = new Harness();
    for (let index = 0; index < 20; index++) {
      harness.call((attempt) => harness.after(40, attempt, () => 1), get);
    }
    await harness.clock.advanceAsync(50);
    const error = await runInContext(contextOf(harness, 60), () =>
      harness.errorOf(
        (attempt) => harness.after(30, attempt, () => Promise.reject(new Error("broken"))),
        get,
      ),
    );
    expect(error.message).toContain("1 attempt");
    expect(harness.tried).toHaveLength(21);
  });

  it("holds in everything that the handler starts, however deep", async () => {
    const inner = await withDeadline(1_000, async () => {
      await Promise.resolve();
      return withDeadline(60_000, () => currentContext()?.remainingMs());
    });
    expect(inner).toBeLessThanOrEqual(1_000);
    expect(inner).toBeGreaterThan(900);
    expect(currentContext()).toBeUndefined();
  });

  it.each([-1, Number.NaN])("refuses %d", (timeoutMs) => {
    expect(() => withDeadline(timeoutMs, () => 1)).toThrow(RangeError);
  });
});

describe("an abort that is inherited", () => {
  it("ends the call, held against no node", async () => {
    const ends = listen("evenkeel:attempt:end");
    const harness = new Harness();
    const controller = new AbortController();
    const context = contextOf(harness, 1_000, controller.signal);
    const call = runInContext(context, () => harness.call(() => harness.hang(), get));
    await harness.clock.advanceAsync(10);
    controller.abort(new Error("the caller is gone"));
    await harness.clock.advanceAsync(1);
    expect(call.ended).toMatchObject({ error: { message: "the caller is gone" }, at: 10 });
    expect(ends).toMatchObject([{ outcome: "ignored", reason: "aborted" }]);
    expect(harness.inflight).toBe(0);
  });

  it("that says so is the deadline's a little before it, too: timers are early, and callers leave in time", async () => {
    const harness = new Harness();
    const ends = listen("evenkeel:attempt:end");
    const controller = new AbortController();
    const context = contextOf(harness, 200, controller.signal);
    const call = runInContext(context, () => harness.call(() => harness.hang(), get));
    await harness.clock.advanceAsync(190);
    controller.abort(new DOMException("late", "TimeoutError"));
    // At once: the handler's caller is answered next.
    expect(context.failedBelow).toBe(true);
    await harness.clock.advanceAsync(0);
    expect(call.ended).toMatchObject({ error: { code: "ERR_DEADLINE" }, at: 190 });
    expect(ends).toMatchObject([{ outcome: "failure", reason: "timeout" }]);
  });

  it("that comes with the end of the deadline is the deadline's, and a failure below", async () => {
    const harness = new Harness();
    const controller = new AbortController();
    const context = contextOf(harness, 100, controller.signal);
    harness.clock.schedule(() => controller.abort(new Error("the time is over")), 100);
    const call = runInContext(context, () => harness.call(() => harness.hang(), get));
    await harness.clock.advanceAsync(100);
    expect(call.ended).toMatchObject({ error: { code: "ERR_DEADLINE" }, at: 100 });
    expect(context.failedBelow).toBe(true);
  });

  it("that came with the end of the deadline, before the call, is the deadline's", async () => {
    const harness = new Harness();
    const context = contextOf(harness, 0, AbortSignal.abort(new Error("the time is over")));
    const error = await runInContext(context, () => harness.errorOf(() => 1, get));
    expect(error.code).toBe("ERR_DEADLINE");
    expect(context.failedBelow).toBe(true);
  });

  it("that came before the call sends nothing", async () => {
    const harness = new Harness();
    const context = contextOf(harness, 1_000, AbortSignal.abort(new Error("gone")));
    const call = runInContext(context, () => harness.call(() => 1, get));
    await harness.clock.advanceAsync(1);
    expect(call.ended).toMatchObject({ error: { message: "gone" } });
    expect(harness.tried).toEqual([]);
  });
});

describe("what the next service is told", () => {
  it("is what is left, less the way back", async () => {
    const harness = new Harness({ deadlineHeader: "grpc-timeout" });
    const context = contextOf(harness, 400);
    await runInContext(context, () => harness.resultOf(() => 1, get));
    expect(harness.attempts[0]?.headers).toEqual({ "grpc-timeout": "380m" });
  });

  it("is the time of the call and not of the attempt, which is for the headers only", async () => {
    const harness = new Harness({ deadlineHeader: "x-timeout-ms", timeouts: { attemptMs: 100 } });
    await harness.resultOf(() => 1, get);
    expect(harness.attempts[0]?.headers).toEqual({ "x-timeout-ms": "29950" });
  });

  it("is less for a later attempt", async () => {
    const harness = new Harness({ deadlineHeader: "grpc-timeout", timeouts: { totalMs: 1_000 } });
    await harness.resultOf(
      (attempt) =>
        harness.after(300, attempt, () => (attempt.attempt === 1 ? { status: 503 } : { status: 200 })),
      get,
    );
    const told = harness.attempts.map(({ headers }) =>
      parseDeadlineHeader("grpc-timeout", headers["grpc-timeout"] ?? ""),
    );
    expect(told[0]).toBe(950);
    expect(told[1]).toBeLessThan(700);
  });

  it("is the priority too, the inherited one where the call has none of its own", async () => {
    const harness = new Harness();
    const context = new CallContext({ endsAt: Number.POSITIVE_INFINITY, priority: "sheddable" });
    await runInContext(context, () => harness.resultOf(() => 1, get));
    await runInContext(context, () => harness.resultOf(() => 1, { ...get, priority: "critical" }));
    await harness.resultOf(() => 1, get);
    expect(harness.attempts.map(({ headers }) => headers["evenkeel-priority"])).toEqual([
      "sheddable",
      "critical",
      undefined,
    ]);
  });

  it("is nothing unless it is asked for", async () => {
    const harness = new Harness();
    await runInContext(contextOf(harness, 400), () => harness.resultOf(() => 1, get));
    expect(harness.attempts[0]?.headers).toEqual({});
  });
});

describe("a failure that need not be tried again", () => {
  const unavailable = { status: 503, headers: { "evenkeel-retry": "no" } };

  it("is delivered at once", async () => {
    const harness = new Harness();
    expect(await harness.resultOf(() => unavailable, get)).toBe(unavailable);
    expect(harness.tried).toHaveLength(1);
  });

  it("takes no node out, and shows in its failure rate", async () => {
    const harness = new Harness();
    for (let index = 0; index < 60; index++) await harness.resultOf(() => unavailable, get);
    expect(harness.cluster.nodes.map(({ state }) => state)).toEqual(["ready", "ready", "ready"]);
    expect(harness.cluster.nodes[0]?.failures).toBe(20);
  });

  it("is another thing than a refusal for load, which is tried elsewhere and takes long to take a node out", async () => {
    const harness = new Harness({ discovery: ["http://a", "http://b"] });
    const refused = { status: 503, headers: { "retry-after": "0" } };
    const send = (attempt: NodeAttempt) => (attempt.node.key === "http://a" ? refused : { status: 200 });
    for (let index = 0; index < 10; index++)
      expect(await harness.resultOf(send, get)).toEqual({ status: 200 });
    expect(harness.cluster.nodes[0]).toMatchObject({ state: "ready", failures: 10 });
    for (let index = 0; index < 40; index++) harness.call(send, get);
    await harness.clock.advanceAsync(1_000);
    expect(harness.cluster.nodes[0]).toMatchObject({
      state: "ejected",
      reason: /too many refusals for load/,
    });
  });

  it("is passed on: the handler's caller is told so too", async () => {
    const harness = new Harness();
    const context = contextOf(harness, 100_000);
    await runInContext(context, () => harness.resultOf(() => ({ status: 200 }), get));
    expect(context.failedBelow).toBe(false);
    await runInContext(context, () => harness.resultOf(() => unavailable, get));
    expect(context.failedBelow).toBe(true);
  });

  it("is what a call becomes that failed here for good", async () => {
    const harness = new Harness();
    const context = contextOf(harness, 100_000);
    await runInContext(context, () => harness.resultOf(() => ({ status: 503 }), get));
    expect(harness.tried).toHaveLength(3);
    expect(context.failedBelow).toBe(true);
  });

  it("is no call that was made good by a fallback", async () => {
    const harness = new Harness();
    const context = contextOf(harness, 100_000);
    const fallback = () => "instead";
    const work = () => harness.resultOf(() => Promise.reject(new Error("broken")), { ...get, fallback });
    expect(await runInContext(context, work)).toBe("instead");
    expect(context.failedBelow).toBe(false);
  });

  it("is a call whose fallback failed as well, or that had an answer all the same", async () => {
    const harness = new Harness();
    const context = contextOf(harness, 100_000);
    const fallback = () => {
      throw new Error("nothing stored");
    };
    const work = () => harness.errorOf(() => Promise.reject(new Error("broken")), { ...get, fallback });
    expect((await runInContext(context, work)).message).toBe("nothing stored");
    expect(context.failedBelow).toBe(true);
    const other = contextOf(harness, 1_000_000);
    await runInContext(other, () => harness.resultOf(() => ({ status: 500 }), { ...get, fallback }));
    expect(other.failedBelow).toBe(true);
  });
});
