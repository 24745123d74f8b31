/** Tests one call from start to end in virtual time: retries, deadlines, own lag, aborts, budget, errors, events. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterEach, describe, expect, it } from "vitest";
import { BalancerError } from "../core/errors.ts";
import type { AttemptStartEvent } from "../core/events.ts";
import { failure, ignored, type Outcome, success } from "../core/outcome.ts";
import { Harness, listen, releaseHarness, ScriptedCall, whenReleased } from "../testing/call-harness.ts";
import type { CallOptions, NodeAttempt } from "./function-call.ts";

const [a, b, c] = ["http://a", "http://b", "http://c"] as const;

function errorWith(code: string): Error {
  return Object.assign(new Error(`${code} happened`), { code });
}

const idempotent: CallOptions = { idempotent: true };

afterEach(releaseHarness);

describe("a call that works", () => {
  it("is given a node and a signal, and resolves to what the function returns", async () => {
    const harness = new Harness();
    const call = harness.call((attempt) =>
      harness.after(20, attempt, () => `${attempt.node.url("/x")} ${attempt.attempt}`),
    );
    await harness.clock.advanceAsync(19);
    expect(harness.inflight).toBe(1);
    expect(call.ended).toBeUndefined();
    await harness.clock.advanceAsync(1);
    expect(call.ended).toEqual({ value: "http://a/x 1", at: 20 });
    expect(harness.inflight).toBe(0);
    expect(harness.attempts[0]?.signal.aborted).toBe(false);
    expect(harness.cluster.nodes[0]).toMatchObject({ calls: 1, failures: 0 });
  });

  it("takes a function that is not async", async () => {
    expect(await new Harness().resultOf(() => 5)).toBe(5);
  });

  it("leaves no timer once it and its last tick are over", async () => {
    const harness = new Harness();
    await harness.resultOf((attempt) => harness.after(20, attempt, () => 1));
    await harness.clock.advanceAsync(60_000);
    expect(harness.clock.pendingTimers).toBe(0);
  });
});

describe("retries", () => {
  it("go to another node, after a wait, until one answers", async () => {
    const harness = new Harness();
    const call = harness.call(({ node, attempt }) => {
      if (node.key !== c) throw errorWith("ECONNRESET");
      return attempt;
    }, idempotent);
    await harness.clock.advanceAsync(1_000);
    expect(call.ended).toEqual({ value: 3, at: 12.5 + 25 });
    expect(harness.tried).toEqual([a, b, c]);
    expect(harness.cluster.nodes.map(({ failures }) => failures)).toEqual([1, 1, 0]);
  });

  it("repeat a node only when all were tried", async () => {
    const harness = new Harness({ retry: { attempts: 7 } });
    const error = await harness.errorOf(() => {
      throw errorWith("ECONNRESET");
    }, idempotent);
    expect(new Set(harness.tried.slice(0, 3))).toEqual(new Set([a, b, c]));
    expect(new Set(harness.tried.slice(3, 6))).toEqual(new Set([a, b, c]));
    expect(harness.tried).toHaveLength(7);
    expect(error.code).toBe("ERR_NO_NODE");
  });

  it.each<[CallOptions | undefined, number]>([
    [undefined, 1],
    [{ idempotent: false, method: "GET" }, 1],
    [{ idempotent: true, method: "POST" }, 3],
    [{ method: "GET" }, 3],
    [{ method: "put" }, 3],
    [{ method: "POST" }, 1],
    [{ method: "PATCH" }, 1],
  ])("are made only where the call may run twice: %j, %i attempts", async (options, attempts) => {
    const harness = new Harness();
    await harness.errorOf(() => {
      throw errorWith("ECONNREFUSED");
    }, options);
    expect(harness.tried).toHaveLength(attempts);
  });

  it("follow retry.methods", async () => {
    const harness = new Harness({ retry: { methods: ["REPORT"] } });
    await harness.errorOf(() => Promise.reject(errorWith("EPIPE")), { method: "REPORT" });
    await harness.errorOf(() => Promise.reject(errorWith("EPIPE")), { method: "GET" });
    expect(harness.tried).toHaveLength(4);
  });

  it("are none with retry: false", async () => {
    const harness = new Harness({ retry: false });
    await harness.errorOf(() => Promise.reject(errorWith("EPIPE")), idempotent);
    expect(harness.tried).toEqual([a]);
  });

  it("follow a returned status that retry.statuses names, and hand over the last answer as it is", async () => {
    const harness = new Harness();
    const answer = await harness.resultOf(() => ({ status: 503 }), idempotent);
    expect(answer).toEqual({ status: 503 });
    expect(harness.tried).toEqual([a, b, c]);
    expect(harness.cluster.nodes.map(({ failures }) => failures)).toEqual([1, 1, 1]);
  });

  it.each([500, 429, 404, 301, 200])("do not follow a returned %i", async (status) => {
    const harness = new Harness();
    expect(await harness.resultOf(() => ({ statusCode: status }), idempotent)).toEqual({
      statusCode: status,
    });
    expect(harness.tried).toEqual([a]);
    expect(harness.cluster.nodes[0]?.failures).toBe(status >= 429 ? 1 : 0);
  });

  it("treat a thrown status as a returned one", async () => {
    const harness = new Harness();
    for (const [status, attempts] of [
      [503, 3],
      [500, 1],
      [429, 1],
      [404, 1],
    ] as const) {
      harness.tried.length = 0;
      const thrown = Object.assign(new Error("Response code"), { response: { statusCode: status } });
      const error = await harness.errorOf(() => Promise.reject(thrown), idempotent);
      expect(harness.tried).toHaveLength(attempts);
      if (attempts === 1) expect(error).toBe(thrown);
      else expect(error).toMatchObject({ code: "ERR_NO_NODE", cause: thrown });
    }
  });

  it("follow our own shortage, which no node is blamed for and which is not a try of the node", async () => {
    const harness = new Harness({ discovery: [a] });
    const error = await harness.errorOf(() => Promise.reject(errorWith("EMFILE")), idempotent);
    expect(harness.tried).toEqual([a, a, a]);
    expect(harness.cluster.nodes[0]).toMatchObject({ calls: 0, failures: 0, state: "ready" });
    expect(error.message).toContain("EMFILE");
  });

  it("follow what undici and fetch hide in the cause of a TypeError", async () => {
    const harness = new Harness();
    const call = harness.call(({ node }) => {
      if (node.key === a) throw new TypeError("fetch failed", { cause: errorWith("ECONNREFUSED") });
      return 1;
    }, idempotent);
    await harness.clock.advanceAsync(100);
    expect(call.ended?.value).toBe(1);
    expect(harness.cluster.nodes[0]).toMatchObject({ state: "down", reason: "ECONNREFUSED" });
  });

  it("believe the program's own classify", async () => {
    const harness = new Harness();
    const outcomes: Outcome[] = [failure("error", "LOADING"), success];
    const thrown = new Error("LOADING");
    const error = await harness.errorOf(() => Promise.reject(thrown), {
      ...idempotent,
      classify: () => outcomes.shift() as Outcome,
    });
    expect(error).toBe(thrown);
    expect(harness.tried).toEqual([a, b]);
    expect(harness.cluster.nodes.map(({ failures }) => failures)).toEqual([1, 0, 0]);
  });

  it("end with what classify throws, or the mistake in what it returns", async () => {
    for (const send of [() => 1, () => Promise.reject(errorWith("EPIPE"))]) {
      const harness = new Harness();
      const mistake = new Error("no idea");
      const classify = () => {
        throw mistake;
      };
      expect(await harness.errorOf(send, { ...idempotent, classify })).toBe(mistake);
      const wrong = { ...idempotent, classify: () => true as unknown as Outcome };
      const error = await harness.errorOf(send, wrong);
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toBe("classify must return an outcome, got true");
      expect(harness.inflight).toBe(0);
      expect(harness.cluster.nodes.map(({ calls }) => calls)).toEqual([0, 0, 0]);
      // Had a call been counted out twice, this would never resolve, or too soon.
      const hanging = harness.call((attempt) => harness.after(5, attempt, () => 2));
      const closed = harness.cluster.close();
      await harness.clock.advanceAsync(10);
      await closed;
      expect(hanging.ended?.value).toBe(2);
    }
  });

  it("are refused by the budget, and the call then ends with what it has", async () => {
    const fail = () => Promise.reject(errorWith("ECONNRESET"));
    const one = new Harness({ retry: { budget: { ratio: 0, minPerSecond: 0.1 } } });
    await one.errorOf(fail, idempotent);
    expect(one.tried).toHaveLength(2);
    const none = new Harness({ retry: { budget: { ratio: 0, minPerSecond: 0 } } });
    const error = await none.errorOf(fail, idempotent);
    expect(none.tried).toEqual([a]);
    expect(error).toMatchObject({ code: "ERR_NO_NODE", cause: { code: "ECONNRESET" } });
    expect(await none.resultOf(() => ({ status: 502 }), idempotent)).toEqual({ status: 502 });
  });

  it("draw on a budget that calls fill: a fifth of them, and 100 within 10 s", async () => {
    const harness = new Harness({ health: { ejection: false } });
    for (let call = 0; call < 1_000; call++) {
      harness.call(() => Promise.reject(errorWith("ECONNRESET")), idempotent);
    }
    await harness.clock.advanceAsync(100);
    expect(harness.tried).toHaveLength(1_000 + 200 + 100);
  });

  it("are not made when they would begin after the call's end", async () => {
    const harness = new Harness({ retry: { backoffMs: 1_000, maxBackoffMs: 1_000 } });
    const call = harness.call(() => Promise.reject(errorWith("EPIPE")), { ...idempotent, totalMs: 500 });
    await harness.clock.advanceAsync(0);
    expect(call.ended?.error).toMatchObject({ code: "ERR_NO_NODE" });
    expect(harness.tried).toEqual([a]);
  });
});

describe("deadlines", () => {
  it("cut an attempt at attemptMs to the millisecond, and try another node", async () => {
    const harness = new Harness({ timeouts: { attemptMs: 300 } });
    const call = harness.call(({ node }) => (node.key === a ? harness.hang() : node.key), idempotent);
    await harness.clock.advanceAsync(299.5);
    expect(harness.tried).toEqual([a]);
    await harness.clock.advanceAsync(0.5);
    expect(harness.attempts[0]?.signal.reason).toMatchObject({
      code: "ERR_DEADLINE",
      message: "orders: http://a gave no answer within 300 ms",
    });
    expect(harness.inflight).toBe(0);
    await harness.clock.advanceAsync(1_000);
    expect(call.ended).toEqual({ value: b, at: 312.5 });
    expect(harness.cluster.nodes[0]).toMatchObject({ calls: 1, failures: 1 });
    expect(harness.cluster.nodes[0]?.latencyMs).toBeGreaterThan(20);
  });

  it("fail as ERR_DEADLINE when each attempt took too long", async () => {
    const harness = new Harness({ timeouts: { attemptMs: 100 } });
    const call = harness.call(() => harness.hang(), { idempotent: true, method: "GET", path: "/orders" });
    await harness.clock.advanceAsync(1_000);
    expect(call.ended?.at).toBe(337.5);
    expect(call.ended?.error).toMatchObject({
      name: "BalancerError",
      code: "ERR_DEADLINE",
      service: "orders",
      message:
        "orders: GET /orders: no node gave an answer in 3 attempts: http://a no answer within 100 ms; " +
        "http://b no answer within 100 ms; http://c no answer within 100 ms",
      cause: { code: "ERR_DEADLINE", message: "orders: http://c gave no answer within 100 ms" },
    });
  });

  it("end the whole call at totalMs to the millisecond, whatever it does then", async () => {
    const harness = new Harness({ timeouts: { totalMs: 700, attemptMs: 300 }, retry: { attempts: 10 } });
    const call = harness.call(() => harness.hang(), idempotent);
    await harness.clock.advanceAsync(699.9);
    expect(call.ended).toBeUndefined();
    await harness.clock.advanceAsync(0.1);
    expect(call.ended?.at).toBe(700);
    expect(call.ended?.error).toMatchObject({
      code: "ERR_DEADLINE",
      message:
        "orders: CALL /: no answer within 700 ms in 3 attempts: http://a no answer within 300 ms; " +
        "http://b no answer within 300 ms; http://c the call's time ran out",
      cause: { code: "ERR_DEADLINE" },
    });
    expect(harness.attempts[2]?.signal.aborted).toBe(true);
    expect(harness.inflight).toBe(0);
  });

  it("count against a node whose attempt had at least half of the whole time, and no other", async () => {
    const harness = new Harness({ timeouts: { totalMs: 1_000, attemptMs: 450 } });
    await harness.errorOf(() => harness.hang(), idempotent);
    // The third one began after 937.5 ms.
    expect(harness.cluster.nodes.map(({ failures }) => failures)).toEqual([1, 1, 0]);
    const once = new Harness({ timeouts: { totalMs: 1_000 } });
    const error = await once.errorOf(() => once.hang(), idempotent);
    expect(once.cluster.nodes.map(({ failures }) => failures)).toEqual([1, 0, 0]);
    expect(error.message).toBe(
      "orders: CALL /: no answer within 1000 ms in 1 attempt: http://a no answer within 1000 ms",
    );
  });

  it("hold while the call waits for its next attempt", async () => {
    const harness = new Harness({ retry: { backoffMs: 1_000, maxBackoffMs: 1_000 } });
    const options = { ...idempotent, totalMs: 501 };
    const call = harness.call(
      (attempt) => harness.after(0.9, attempt, () => Promise.reject(errorWith("EPIPE"))),
      options,
    );
    await harness.clock.advanceAsync(501);
    expect(call.ended?.error).toMatchObject({ code: "ERR_DEADLINE", cause: { code: "EPIPE" } });
    expect(call.ended?.at).toBe(501);
  });

  it("may be given for one call", async () => {
    const harness = new Harness();
    const call = harness.call(() => harness.hang(), { attemptMs: 50 });
    await harness.clock.advanceAsync(50);
    expect(call.ended?.error).toMatchObject({ code: "ERR_DEADLINE" });
    const other = harness.call(() => harness.hang(), { totalMs: 20 });
    await harness.clock.advanceAsync(20);
    expect(other.ended?.error).toMatchObject({ code: "ERR_DEADLINE" });
  });

  it("no longer reach an attempt that has answered", async () => {
    const harness = new Harness({ timeouts: { attemptMs: 100 } });
    await harness.resultOf((attempt) => harness.after(99, attempt, () => 1));
    await harness.clock.advanceAsync(10_000);
    expect(harness.attempts[0]?.signal.aborted).toBe(false);
    expect(harness.cluster.nodes[0]?.failures).toBe(0);
  });
});

describe("this process's own lag", () => {
  it("is not counted against an attempt, whose time goes on after it", async () => {
    const harness = new Harness({ timeouts: { attemptMs: 300 } });
    const call = harness.call((attempt) => harness.after(2_050, attempt, () => "late"), idempotent);
    await harness.clock.advanceAsync(100);
    harness.clock.block(2_000);
    await harness.clock.advanceAsync(0);
    // Answered while we were blocked, read now.
    expect(call.ended?.value).toBe("late");
    expect(harness.cluster.nodes[0]).toMatchObject({ failures: 0, calls: 1 });
    expect(harness.cluster.nodes[0]?.latencyMs).toBeLessThan(20);
  });

  it("gives a hanging node the time back, and no more than that", async () => {
    const harness = new Harness({ timeouts: { attemptMs: 300 } });
    harness.call(() => harness.hang(), idempotent);
    await harness.clock.advanceAsync(100);
    harness.clock.block(2_000);
    await harness.clock.advanceAsync(140);
    expect(harness.attempts[0]?.signal.aborted).toBe(false);
    // 300 ms and the 2,000, less one tick that may have been due in between.
    await harness.clock.advanceAsync(60);
    expect(harness.attempts[0]?.signal.aborted).toBe(true);
  });

  it("ejects nobody, also when it keeps happening", async () => {
    const harness = new Harness({ timeouts: { attemptMs: 300, totalMs: 1_000_000 } });
    for (let round = 0; round < 30; round++) {
      const calls = [1, 2, 3].map(() => harness.call((attempt) => harness.after(20, attempt, () => 1)));
      harness.clock.block(2_000);
      await harness.clock.advanceAsync(50);
      expect(calls.map(({ ended }) => ended?.value)).toEqual([1, 1, 1]);
    }
    expect(harness.cluster.nodes.map(({ state, failures }) => [state, failures])).toEqual([
      ["ready", 0],
      ["ready", 0],
      ["ready", 0],
    ]);
  });
});

describe("the caller's abort", () => {
  it("before the call: nothing is sent", async () => {
    const harness = new Harness();
    const reason = new Error("changed my mind");
    expect(await harness.errorOf(() => 1, { signal: AbortSignal.abort(reason) })).toBe(reason);
    expect(harness.tried).toEqual([]);
  });

  it("during an attempt: it is aborted at once, and the node is not blamed", async () => {
    const harness = new Harness();
    const controller = new AbortController();
    const call = harness.call(() => harness.hang(), { ...idempotent, signal: controller.signal });
    await harness.clock.advanceAsync(10);
    const reason = new Error("changed my mind");
    controller.abort(reason);
    expect(harness.attempts[0]?.signal.reason).toBe(reason);
    expect(harness.inflight).toBe(0);
    await harness.clock.advanceAsync(0);
    expect(call.ended).toEqual({ error: reason, at: 10 });
    expect(harness.cluster.nodes[0]).toMatchObject({ calls: 0, failures: 0 });
    await harness.clock.advanceAsync(10_000);
    expect(harness.tried).toEqual([a]);
    expect(harness.clock.pendingTimers).toBe(0);
  });

  it("between attempts: the next one is not made", async () => {
    const harness = new Harness();
    const controller = new AbortController();
    const options = { ...idempotent, signal: controller.signal };
    const call = harness.call(() => Promise.reject(errorWith("EPIPE")), options);
    await harness.clock.advanceAsync(5);
    controller.abort("bare string");
    await harness.clock.advanceAsync(1_000);
    expect(call.ended).toEqual({ error: "bare string", at: 5 });
    expect(harness.tried).toEqual([a]);
  });

  it("while it waits for discovery", async () => {
    const harness = new Harness({ discovery: { watch: () => never() } });
    const controller = new AbortController();
    const call = harness.call(() => 1, { signal: controller.signal });
    await harness.clock.advanceAsync(5);
    controller.abort();
    await harness.clock.advanceAsync(0);
    expect(call.ended?.error).toMatchObject({ name: "AbortError" });
    expect(harness.cluster.waiting.size).toBe(0);
  });

  it("from within the function, and from a listener of the attempt's own signal", async () => {
    for (const [how, attemptMs] of [
      ["at once", 100],
      ["as the attempt's time is up", 100],
      ["as the call's time is up", 300],
    ] as const) {
      const harness = new Harness({ timeouts: { attemptMs, totalMs: 150 } });
      const controller = new AbortController();
      const reason = new Error("enough");
      const call = harness.call(
        ({ signal }) => {
          if (how === "at once") controller.abort(reason);
          else signal.addEventListener("abort", () => controller.abort(reason));
          return harness.hang();
        },
        { ...idempotent, signal: controller.signal },
      );
      const others = harness.call((attempt) => harness.after(500, attempt, () => 1), {
        attemptMs: 1_000,
        totalMs: 1_000,
      });
      await harness.clock.advanceAsync(200);
      expect(call.ended?.error).toBe(reason);
      expect(harness.inflight).toBe(1);
      // Counted out once, so closing still waits for the other call.
      let closed = false;
      const closing = harness.cluster.close().then(() => {
        closed = true;
      });
      await harness.clock.advanceAsync(100);
      expect(closed).toBe(false);
      await harness.clock.advanceAsync(300);
      await closing;
      expect(others.ended?.value).toBe(1);
    }
  });

  it("from a listener of events, at every point: the call ends once, and nothing more is sent", async () => {
    const points = [
      "evenkeel:call:start",
      "evenkeel:attempt:start",
      "evenkeel:attempt:end",
      "evenkeel:retry",
    ];
    for (const name of points) {
      const harness = new Harness();
      const controller = new AbortController();
      const reason = new Error("enough");
      const abort = () => controller.abort(reason);
      subscribe(name, abort);
      const options = { ...idempotent, signal: controller.signal };
      const call = harness.call(() => Promise.reject(errorWith("EPIPE")), options);
      await harness.clock.advanceAsync(0);
      unsubscribe(name, abort);
      await harness.clock.advanceAsync(1_000);
      expect(call.ended?.error).toBe(reason);
      expect(harness.tried).toHaveLength(name.endsWith(":start") ? 0 : 1);
      expect(harness.inflight).toBe(0);
      await harness.cluster.close();
      expect(harness.clock.pendingTimers).toBe(0);
    }
  });

  it("after the end does nothing, and its listener is gone", async () => {
    const harness = new Harness();
    const { signal, ...counts } = countingSignal();
    await harness.resultOf(() => 1, { signal });
    await harness.errorOf(() => Promise.reject(errorWith("EPIPE")), { ...idempotent, signal });
    expect(counts.added()).toBe(2);
    expect(counts.removed()).toBe(2);
  });

  it("thrown by the function itself is the caller's too", async () => {
    const harness = new Harness();
    const error = await harness.errorOf(
      () => Promise.reject(new DOMException("stopped", "AbortError")),
      idempotent,
    );
    expect(error).toMatchObject({ name: "AbortError" });
    expect(harness.tried).toEqual([a]);
    expect(harness.cluster.nodes[0]?.failures).toBe(0);
  });
});

describe("errors", () => {
  it("name the service, the nodes tried and what each answered, and keep the last cause", async () => {
    const harness = new Harness();
    const errors = new Map<string, () => unknown>([
      [a, () => ({ status: 503 })],
      [b, () => Promise.reject(errorWith("ECONNREFUSED"))],
      [c, () => Promise.reject(new Error("socket hang up"))],
    ]);
    const error = await harness.errorOf(({ node }) => errors.get(node.key)?.(), {
      method: "GET",
      path: "/v1/orders/42",
    });
    expect(error).toBeInstanceOf(BalancerError);
    expect(error.message).toBe(
      "orders: GET /v1/orders/42: no node gave an answer in 3 attempts: http://a 503; http://b ECONNREFUSED; " +
        "http://c socket hang up",
    );
    expect(error).toMatchObject({
      code: "ERR_NO_NODE",
      service: "orders",
      cause: { message: "socket hang up" },
    });
  });

  it("say how the nodes stand when there is none to call", async () => {
    const empty = new Harness({ discovery: [] });
    const error = await empty.errorOf(() => 1);
    expect(error).toMatchObject({ code: "ERR_NO_NODE", message: "orders: CALL /: discovery names no node" });
    const drained = new Harness({ discovery: [a, { address: b, weight: 0 }] });
    drained.cluster.drain(a);
    expect((await drained.errorOf(() => 1)).message).toBe(
      "orders: CALL /: none of 2 nodes may be called (2 draining)",
    );
  });

  it("come at once where there is no node, and after the last one left", async () => {
    const harness = new Harness({ discovery: [a], health: { failOpen: false } });
    const call = harness.call(() => {
      harness.cluster.drain(a);
      throw errorWith("EPIPE");
    }, idempotent);
    await harness.clock.advanceAsync(12.5);
    expect(call.ended).toMatchObject({
      at: 12.5,
      error: {
        code: "ERR_NO_NODE",
        message: "orders: CALL /: none of 1 nodes may be called (1 draining) in 1 attempt: http://a EPIPE",
        cause: { code: "EPIPE" },
      },
    });
  });

  it("are what the function threw, where that is no object at all", async () => {
    const harness = new Harness({ retry: false });
    expect(await harness.errorOf(() => Promise.reject("plain"))).toMatchObject({
      code: "ERR_NO_NODE",
      cause: "plain",
      message: "orders: CALL /: no node gave an answer in 1 attempt: http://a plain",
    });
  });

  it.each<[object, string]>([
    [{ idempotent: "yes" }, 'call.idempotent must be true or false, got "yes"'],
    [{ totalMs: 0 }, "call.totalMs must be a number from 1"],
    [{ attemptMs: Number.NaN }, "call.attemptMs must be"],
    [{ method: "" }, "call.method must be a non-empty string"],
    [{ classify: 1 }, "call.classify must be a function"],
    [{ signal: {} }, "call.signal must have a method"],
    [{ idempotant: true }, 'unknown option call.idempotant (true); did you mean "idempotent"?'],
  ])("refuse %j as a rejection, and count no call", async (options, message) => {
    const harness = new Harness();
    const error = await harness.errorOf(() => 1, options as CallOptions);
    expect(error.message).toContain(message);
    expect(harness.tried).toEqual([]);
    await harness.cluster.close();
  });

  it("refuse what is no function", async () => {
    const { cluster } = new Harness();
    await expect(cluster.call(5 as unknown as () => Promise<number>)).rejects.toThrow(
      new TypeError("call must be given a function"),
    );
  });
});

describe("waiting for discovery", () => {
  it("goes on when the first set comes, and takes no longer", async () => {
    let give = () => {};
    const harness = new Harness({
      discovery: {
        async *watch() {
          await new Promise<void>((resolve) => {
            give = resolve;
          });
          yield [{ address: b }];
        },
      },
    });
    const calls = [1, 2].map(() => harness.call(({ node }) => node.key));
    await harness.clock.advanceAsync(400);
    expect(harness.tried).toEqual([]);
    give();
    await harness.clock.advanceAsync(0);
    expect(calls.map(({ ended }) => ended)).toEqual([
      { value: b, at: 400 },
      { value: b, at: 400 },
    ]);
    expect(harness.cluster.waiting.size).toBe(0);
  });

  it("ends after connectMs", async () => {
    const harness = new Harness({ discovery: { watch: () => never() }, timeouts: { connectMs: 300 } });
    const call = harness.call(() => 1);
    await harness.clock.advanceAsync(299);
    expect(call.ended).toBeUndefined();
    await harness.clock.advanceAsync(1);
    expect(call.ended).toMatchObject({
      at: 300,
      error: { code: "ERR_NO_NODE", message: "orders: discovery named no node within 300 ms" },
    });
    expect(harness.cluster.waiting.size).toBe(0);
  });

  it("ends with the call's own time if that is shorter", async () => {
    const harness = new Harness({ discovery: { watch: () => never() } });
    const call = harness.call(() => 1, { totalMs: 200 });
    await harness.clock.advanceAsync(200);
    expect(call.ended).toMatchObject({
      at: 200,
      error: { code: "ERR_DEADLINE", message: "orders: CALL /: discovery named no node within 200 ms" },
    });
    expect(harness.cluster.waiting.size).toBe(0);
  });
});

describe("events", () => {
  it("tell of each attempt, retry and refusal, in order", async () => {
    const starts = listen("evenkeel:attempt:start");
    const ends = listen("evenkeel:attempt:end");
    const retries = listen("evenkeel:retry");
    const rejects = listen("evenkeel:reject");
    const order: string[] = [];
    for (const name of ["evenkeel:attempt:start", "evenkeel:attempt:end", "evenkeel:retry"] as const) {
      const listener = () => order.push(name.slice("evenkeel:".length));
      subscribe(name, listener);
      whenReleased(() => unsubscribe(name, listener));
    }
    const harness = new Harness();
    await harness.resultOf(
      (attempt) =>
        harness.after(10, attempt, () => (attempt.node.key === a ? { status: 502 } : { status: 200 })),
      { method: "GET", path: "/x" },
    );
    expect(order).toEqual(["attempt:start", "attempt:end", "retry", "attempt:start", "attempt:end"]);
    const call = { service: "orders", method: "GET", path: "/x", call: starts[0]?.call };
    const addHeader = expect.any(Function);
    expect(starts).toEqual([
      { ...call, address: a, attempt: 1, addHeader },
      { ...call, address: b, attempt: 2, addHeader },
    ]);
    expect(ends).toEqual([
      {
        ...call,
        address: a,
        attempt: 1,
        outcome: "failure",
        reason: "status",
        detail: "502",
        statusCode: 502,
        latencyMs: 10,
        durationMs: 10,
      },
      {
        ...call,
        address: b,
        attempt: 2,
        outcome: "success",
        reason: "ok",
        detail: "",
        statusCode: 200,
        latencyMs: 10,
        durationMs: 10,
      },
    ]);
    expect(retries).toEqual([
      { service: "orders", address: a, attempt: 2, delayMs: 12.5, reason: "status", detail: "502" },
    ]);
    expect(rejects).toEqual([]);
    await harness.cluster.close();
    await harness.errorOf(() => 1);
    expect(rejects).toEqual([{ service: "orders", code: "ERR_CLOSED", message: "the cluster is closed" }]);
  });

  it("tell of each call where it begins and once when it ends, well or not", async () => {
    const order: string[] = [];
    for (const name of ["evenkeel:call:start", "evenkeel:attempt:start", "evenkeel:call:end"] as const) {
      const listener = () => order.push(name.slice("evenkeel:".length));
      subscribe(name, listener);
      whenReleased(() => unsubscribe(name, listener));
    }
    const starts = listen("evenkeel:call:start");
    const ends = listen("evenkeel:call:end");
    const harness = new Harness();
    const calls = [
      () => harness.resultOf(() => ({ status: 200 }), { method: "GET", path: "/x" }),
      () => harness.resultOf(() => ({ status: 503 }), { method: "GET" }),
      () => harness.resultOf(() => ({ status: 404 })),
      () => harness.errorOf(() => Promise.reject(errorWith("EPIPE")), idempotent),
      () => harness.errorOf(() => harness.hang(), { totalMs: 50 }),
      () => harness.errorOf(() => 1, { classify: () => 5 as never }),
      () =>
        harness.errorOf(() => harness.hang(), { signal: AbortSignal.abort(new Error("before it began")) }),
    ];
    for (const call of calls) await call();
    await harness.cluster.close();
    await harness.errorOf(() => 1);
    expect(ends.map(({ outcome, attempts }) => [outcome, attempts])).toEqual([
      ["success", 1],
      ["failure", 3],
      ["success", 1],
      ["failure", 3],
      ["failure", 1],
      ["ignored", 1],
      ["failure", 0],
    ]);
    expect(ends[0]).toMatchObject({ service: "orders", method: "GET", path: "/x" });
    expect(ends.map(({ call }) => call)).toEqual(starts.map(({ call }) => call));
    expect(new Set(starts.map(({ call }) => call)).size).toBe(ends.length);
    expect(order.slice(0, 3)).toEqual(["call:start", "attempt:start", "call:end"]);
  });

  it("take headers for one attempt, which the function is given", async () => {
    const addHeader = (event: unknown) => {
      const start = event as AttemptStartEvent;
      start.addHeader("x-attempt", String(start.attempt));
      if (start.attempt === 1) start.addHeader("x-first", "yes");
    };
    const harness = new Harness();
    const seen: unknown[] = [];
    const failing = ({ headers }: NodeAttempt) => {
      seen.push(headers);
      return { status: 503 };
    };
    subscribe("evenkeel:attempt:start", addHeader);
    await harness.resultOf(failing, { method: "GET", retry: { attempts: 2 } });
    unsubscribe("evenkeel:attempt:start", addHeader);
    await harness.resultOf(failing, { method: "GET", retry: false });
    expect(seen).toEqual([{ "x-attempt": "1", "x-first": "yes" }, { "x-attempt": "2" }, {}]);
  });

  it("show an abort as ignored", async () => {
    const ends = listen("evenkeel:attempt:end");
    const harness = new Harness();
    const controller = new AbortController();
    harness.call(() => harness.hang(), { signal: controller.signal });
    await harness.clock.advanceAsync(7);
    controller.abort(new Error("enough"));
    expect(ends).toMatchObject([{ outcome: "ignored", reason: "aborted", detail: "enough", durationMs: 7 }]);
  });
});

describe("a transport's call", () => {
  it("is in flight until its body ends, while the latency is that of its headers", () => {
    const { cluster, clock } = new Harness();
    const call = ScriptedCall.start(cluster);
    clock.advance(10);
    call.headers();
    clock.advance(5_000);
    expect(cluster.nodes[0]?.inflight).toBe(1);
    call.end(success);
    expect(cluster.nodes[0]).toMatchObject({ inflight: 0, calls: 1 });
    expect(call.sent[0]?.latencyMs).toBe(10);
    expect(call.releases).toBe(1);
  });

  it("does not count what a node passed over in closing its connection, up to as many as it has attempts", () => {
    const { cluster, clock } = new Harness();
    const call = ScriptedCall.start(cluster);
    for (let attempt = 1; attempt < 6; attempt++) {
      call.break(ignored("closing", "GOAWAY"), undefined, true);
      clock.advance(1_000);
      expect(call.sent).toHaveLength(attempt + 1);
    }
    call.break(ignored("closing", "GOAWAY"), undefined, true);
    clock.advance(1_000);
    expect(call.sent).toHaveLength(6);
    expect(call.failed).toHaveLength(1);
  });

  it("is never tried again once headers were delivered", () => {
    const { cluster, clock } = new Harness();
    const call = ScriptedCall.start(cluster);
    call.headers();
    const error = errorWith("ECONNRESET");
    call.break(failure("reset", "ECONNRESET"), error);
    clock.advance(1_000);
    expect(call.sent).toHaveLength(1);
    // The caller gets the transport's own error: it has an answer, only not all of it.
    expect(call.failed).toEqual([error]);
    expect(cluster.nodes[0]).toMatchObject({ failures: 1, inflight: 0 });
  });

  it("ends at totalMs in its body, which the node is not blamed for", () => {
    const { cluster, clock } = new Harness();
    const call = ScriptedCall.start(cluster, { totalMs: 1_000 });
    clock.advance(10);
    call.headers();
    clock.advance(990);
    expect(call.failed).toMatchObject([
      {
        code: "ERR_DEADLINE",
        message:
          "orders: GET /: the response was not whole within 1000 ms in 1 attempt: http://a the call's time ran out",
      },
    ]);
    expect(call.stopped).toHaveLength(1);
    expect(cluster.nodes[0]).toMatchObject({ calls: 0, inflight: 0 });
  });

  it("has no end of its own once the answer is endless", () => {
    const { cluster, clock } = new Harness();
    const call = ScriptedCall.start(cluster, { totalMs: 1_000 });
    call.headers(true, true);
    clock.advance(100_000);
    expect(call.failed).toEqual([]);
    expect(cluster.deadlines.size).toBe(0);
    call.end(success);
    expect(call.releases).toBe(1);
  });

  it("goes on elsewhere at once when it was provably not sent, whatever the method", () => {
    const { cluster, clock } = new Harness();
    const call = ScriptedCall.start(cluster, { idempotent: false });
    call.break(failure("refused", "ECONNREFUSED"), errorWith("ECONNREFUSED"), true);
    expect(call.triedKeys).toEqual([a, b]);
    expect(cluster.nodes[0]?.state).toBe("down");
    call.break(failure("reset", "ECONNRESET"), errorWith("ECONNRESET"), false);
    clock.advance(1_000);
    expect(call.triedKeys).toEqual([a, b]);
    expect(call.failed).toHaveLength(1);
  });

  it("is not tried again when its body cannot be", () => {
    const { cluster } = new Harness();
    const call = ScriptedCall.start(cluster);
    call.repeatable = false;
    call.break(failure("reset", "ECONNRESET"));
    expect(call.sent).toHaveLength(1);
    expect(call.releases).toBe(1);
  });

  it("heeds Retry-After only when there is nobody else to ask", () => {
    const { cluster, clock } = new Harness();
    const call = ScriptedCall.start(cluster);
    const busy = failure("status", "503");
    expect(call.retry(busy, 2_000)).toBe(true);
    clock.advance(12.5);
    expect(call.triedKeys).toEqual([a, b]);
    expect(call.retry(busy, 2_000)).toBe(true);
    clock.advance(25);
    expect(call.triedKeys).toEqual([a, b, c]);

    const alone = new Harness({ discovery: [a] });
    const lone = ScriptedCall.start(alone.cluster);
    expect(lone.retry(busy, 2_000)).toBe(true);
    alone.clock.advance(1_999);
    expect(lone.sent).toHaveLength(1);
    alone.clock.advance(1);
    expect(lone.sent).toHaveLength(2);
  });

  it("asks another node at once although one that it tried has left meanwhile", () => {
    const { cluster, clock } = new Harness();
    const call = ScriptedCall.start(cluster);
    call.break(failure("refused", "ECONNREFUSED"), errorWith("ECONNREFUSED"), true);
    expect(cluster.nodes[0]?.state).toBe("down");
    expect(call.retry(failure("status", "503"), 2_000)).toBe(true);
    clock.advance(25);
    expect(call.triedKeys).toEqual([a, b, c]);
  });

  it("does not wait for a Retry-After past its deadline", () => {
    const { cluster } = new Harness({ discovery: [a] });
    const call = ScriptedCall.start(cluster, { totalMs: 1_000 });
    expect(call.retry(failure("status", "503"), 1_000)).toBe(false);
    expect(call.sent).toHaveLength(1);
  });

  it("takes a node out from the end of the answer on, however long that took", () => {
    const { cluster, clock } = new Harness();
    const calls = Array.from({ length: 15 }, () => ScriptedCall.start(cluster));
    const onFirst = calls.filter(({ sent }) => sent[0]?.node.key === a);
    for (const call of onFirst) call.headers(false);
    clock.advance(8_000);
    for (const call of onFirst) call.end(failure("status", "500"));
    const node = cluster.nodes.find(({ address }) => address === a);
    expect(node?.state).toBe("ejected");
    const health = cluster.nodeSet.nodes.get(a)?.health;
    expect(health).toMatchObject({ since: clock.now(), until: clock.now() + 5_000 * 0.95 });
  });

  it("ends once, whatever is reported afterwards", () => {
    const { cluster } = new Harness();
    const call = ScriptedCall.start(cluster);
    call.cancel(new Error("first"));
    call.end(success);
    call.break(failure("reset", "x"));
    call.abort(new Error("second"));
    call.cancel(new Error("third"));
    call.expire(Number.MAX_VALUE);
    call.discovered(0);
    expect(call.retry(failure("reset", "x"))).toBe(false);
    expect(call.failed.map(({ message }) => message)).toEqual(["first"]);
    expect(call.releases).toBe(1);
    expect(cluster.nodes[0]).toMatchObject({ inflight: 0, calls: 0 });
  });

  it("is cancelled by the cluster's destroy, in every phase", () => {
    const { cluster, clock } = new Harness();
    const attempt = ScriptedCall.start(cluster);
    const backoff = ScriptedCall.start(cluster);
    backoff.break(failure("reset", "x"));
    const body = ScriptedCall.start(cluster);
    body.headers();
    const reason = new Error("that is all");
    cluster.destroy(reason);
    for (const call of [attempt, backoff, body]) {
      expect(call.failed).toEqual([reason]);
      expect(call.releases).toBe(1);
    }
    expect(cluster.nodes.map(({ inflight }) => inflight)).toEqual([0, 0, 0]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("says nothing about its node when the call itself was at fault", () => {
    const { cluster } = new Harness();
    const call = ScriptedCall.start(cluster);
    const error = new TypeError("invalid header");
    call.break(ignored("call", "invalid header"), error);
    expect(call.failed).toEqual([error]);
    expect(call.sent).toHaveLength(1);
    expect(cluster.nodes[0]).toMatchObject({ calls: 0, inflight: 0 });
  });
});

/** A source that never says anything. */
async function* never(): AsyncGenerator<never> {
  await new Promise<never>(() => {});
}

/** A signal that counts who listens to it. */
function countingSignal(): { signal: AbortSignal; added(): number; removed(): number } {
  const { signal } = new AbortController();
  let added = 0;
  let removed = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...given: Parameters<typeof add>) => {
    added++;
    add(...given);
  };
  signal.removeEventListener = (...given: Parameters<typeof remove>) => {
    removed++;
    remove(...given);
  };
  return { signal, added: () => added, removed: () => removed };
}
