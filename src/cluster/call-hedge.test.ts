/** Tests hedging in virtual time: when a second attempt goes out, who wins, and what it costs. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterEach, describe, expect, it } from "vitest";
import type { Attempt } from "../core/attempt.ts";
import { failure, ignored, success } from "../core/outcome.ts";
import { Harness, listen, releaseHarness, ScriptedCall, whenReleased } from "../testing/call-harness.ts";
import type { NodeAttempt } from "./function-call.ts";

afterEach(releaseHarness);

const get = { method: "GET", path: "/x" };

function sleepy(harness: Harness, slow: string, slowMs = 1_000) {
  return (attempt: NodeAttempt) =>
    harness.after(attempt.node.key === slow ? slowMs : 10, attempt, () => attempt.node.key);
}

describe("a hedge after a fixed time", () => {
  it("goes to another node, and its answer ends the call and the first attempt", async () => {
    const harness = new Harness({ hedge: { afterMs: 50 } });
    const call = harness.call(sleepy(harness, "http://a"), get);
    await harness.clock.advanceAsync(49);
    expect(harness.tried).toEqual(["http://a"]);
    await harness.clock.advanceAsync(11);
    expect(call.ended).toEqual({ value: "http://b", at: 60 });
    expect(harness.tried).toEqual(["http://a", "http://b"]);
    expect(harness.attempts[0]?.signal.aborted).toBe(true);
    expect(harness.attempts[1]?.signal.aborted).toBe(false);
    expect(harness.inflight).toBe(0);
  });

  it("does not go when the first attempt answers before", async () => {
    const harness = new Harness({ hedge: { afterMs: 50 } });
    await harness.resultOf(sleepy(harness, "nobody"), get);
    expect(harness.tried).toEqual(["http://a"]);
  });

  it("loses to a first attempt that answers after all", async () => {
    const harness = new Harness({ hedge: { afterMs: 50 } });
    const call = harness.call(
      (attempt) => harness.after(attempt.attempt === 1 ? 55 : 500, attempt, () => attempt.attempt),
      get,
    );
    await harness.clock.advanceAsync(60);
    expect(call.ended).toEqual({ value: 1, at: 55 });
    expect(harness.attempts[1]?.signal.aborted).toBe(true);
    expect(harness.inflight).toBe(0);
  });

  it("is held against no node, and told as hedged", async () => {
    const ends = listen("evenkeel:attempt:end");
    const harness = new Harness({ hedge: { afterMs: 50 } });
    await harness.resultOf(sleepy(harness, "http://a"), get);
    expect(ends).toMatchObject([
      { address: "http://a", outcome: "ignored", reason: "hedged" },
      { address: "http://b", outcome: "success" },
    ]);
    expect(harness.cluster.nodes[0]).toMatchObject({ calls: 0, failures: 0 });
  });

  it("raises the expected latency of the node that was given up", async () => {
    const harness = new Harness({ hedge: { afterMs: 50 } });
    await harness.resultOf(sleepy(harness, "http://a"), get);
    const [a, b] = [...harness.cluster.nodeSet.nodes.values()];
    expect(a?.latencyMs).toBeGreaterThan(b?.latencyMs ?? 0);
  });

  it("never goes for a call that may not run twice", async () => {
    const harness = new Harness({ hedge: { afterMs: 50 } });
    await harness.resultOf(sleepy(harness, "http://a"), { method: "POST" });
    expect(harness.tried).toEqual(["http://a"]);
  });

  it("never goes to the node that is asked already", async () => {
    const harness = new Harness({ hedge: { afterMs: 50 }, discovery: ["http://a"] });
    await harness.resultOf(sleepy(harness, "http://a"), get);
    expect(harness.tried).toEqual(["http://a"]);
  });

  it("leaves the call to the other attempt when one fails, without a retry", async () => {
    const retries = listen("evenkeel:retry");
    const harness = new Harness({ hedge: { afterMs: 50 } });
    const call = harness.call(
      (attempt) =>
        attempt.attempt === 1
          ? harness.after(100, attempt, () => "late")
          : harness.after(10, attempt, () => ({ status: 503 })),
      get,
    );
    await harness.clock.advanceAsync(99);
    expect(call.ended).toBeUndefined();
    await harness.clock.advanceAsync(1);
    expect(call.ended).toEqual({ value: "late", at: 100 });
    expect(retries).toEqual([]);
    expect(harness.cluster.nodes[1]).toMatchObject({ failures: 1 });
  });

  it("tries again when both fail, on a node that neither used", async () => {
    const harness = new Harness({ hedge: { afterMs: 50 } });
    const result = await harness.resultOf(
      (attempt) => harness.after(60, attempt, () => ({ status: attempt.attempt < 3 ? 503 : 200 })),
      get,
    );
    expect(result).toEqual({ status: 200 });
    expect(harness.tried).toEqual(["http://a", "http://b", "http://c"]);
  });

  it("has its own time: the first attempt's running out leaves the second alone", async () => {
    const harness = new Harness({ hedge: { afterMs: 50 }, timeouts: { attemptMs: 100 } });
    const call = harness.call(
      (attempt) => harness.after(attempt.attempt === 1 ? 5_000 : 80, attempt, () => attempt.attempt),
      get,
    );
    await harness.clock.advanceAsync(110);
    expect(harness.attempts[0]?.signal.aborted).toBe(true);
    expect(harness.attempts[1]?.signal.aborted).toBe(false);
    await harness.clock.advanceAsync(20);
    expect(call.ended).toEqual({ value: 2, at: 130 });
  });

  it("ends with the call's own time, both attempts with it", async () => {
    const harness = new Harness({ hedge: { afterMs: 50 }, timeouts: { totalMs: 200 } });
    const error = await harness.errorOf(() => harness.hang(), get);
    expect(error.code).toBe("ERR_DEADLINE");
    expect(harness.tried).toHaveLength(2);
    expect(harness.inflight).toBe(0);
  });

  it("ends with the caller's abort, both attempts as aborted", async () => {
    const ends = listen("evenkeel:attempt:end");
    const harness = new Harness({ hedge: { afterMs: 50 } });
    const controller = new AbortController();
    harness.call(() => harness.hang(), { ...get, signal: controller.signal });
    await harness.clock.advanceAsync(60);
    controller.abort();
    expect(ends).toMatchObject([{ reason: "aborted" }, { reason: "aborted" }]);
    expect(harness.inflight).toBe(0);
  });

  it("hears nothing of the loser any more", () => {
    const { cluster, clock } = new Harness({ hedge: { afterMs: 50 } });
    const call = ScriptedCall.start(cluster);
    clock.advance(50);
    expect(call.triedKeys).toEqual(["http://a", "http://b"]);
    const [first, second] = call.sent;
    call.headersOf(second);
    expect(call.stopped).toHaveLength(1);
    expect(first?.ended).toBe(true);
    call.breakAttempt(first, failure("reset", "late"));
    expect(call.failed).toEqual([]);
    call.end(success);
    expect(call.releases).toBe(1);
  });

  it("takes the call's own fault as the end of it all", () => {
    const { cluster, clock } = new Harness({ hedge: { afterMs: 50 } });
    const call = ScriptedCall.start(cluster);
    clock.advance(50);
    call.breakAttempt(call.sent[1], ignored("call", "the handler threw"));
    expect(call.failed).toHaveLength(1);
    expect(call.sent.every(({ ended }) => ended)).toBe(true);
    expect(call.releases).toBe(1);
  });
});

/** A transport that fails an attempt before `send` returns, as one does that has no place for it. */
class RefusingCall extends ScriptedCall {
  refusedFrom = 2;

  protected override send(attempt: Attempt): void {
    super.send(attempt);
    if (attempt.number >= this.refusedFrom) this.breakAttempt(attempt, failure("connect", "no place"));
  }
}

describe("a listener that ends the call", () => {
  function onceOn(name: string, then: (event: { readonly attempt: number }) => void): void {
    const listener = (event: unknown) => then(event as { attempt: number });
    subscribe(name, listener);
    whenReleased(() => unsubscribe(name, listener));
  }

  it("while the hedge begins leaves nothing of it behind", () => {
    const { cluster, clock } = new Harness({ hedge: { afterMs: 50 } });
    const call = ScriptedCall.start(cluster);
    onceOn("evenkeel:attempt:start", () => call.abort(new Error("enough")));
    clock.advance(50);
    expect(call.failed).toMatchObject([{ message: "enough" }]);
    expect(call.releases).toBe(1);
    expect(cluster.deadlines.size).toBe(0);
    expect(cluster.nodes.every(({ inflight }) => inflight === 0)).toBe(true);
  });

  it("while the loser is given up leaves nothing either, and no answer to deliver", () => {
    const { cluster, clock } = new Harness({ hedge: { afterMs: 50 }, breaker: true });
    const call = ScriptedCall.start(cluster);
    clock.advance(50);
    onceOn("evenkeel:attempt:end", ({ attempt }) => {
      if (attempt === 1) call.abort(new Error("enough"));
    });
    call.headersOf(call.sent[1]);
    expect(call.failed).toMatchObject([{ message: "enough" }]);
    expect(call.isOver).toBe(true);
    expect(call.releases).toBe(1);
    expect(cluster.deadlines.size).toBe(0);
    expect(cluster.admissionState?.inflight).toBe(0);
    expect(cluster.nodes).toMatchObject([{ calls: 0 }, { calls: 0 }, { calls: 0 }]);
  });
});

describe("a hedge that is refused at once", () => {
  it("when the first attempt's time is over too leaves the call to its next try", () => {
    const { cluster, clock } = new Harness({ hedge: { afterMs: 50 }, timeouts: { attemptMs: 50 } });
    const call = new RefusingCall(cluster, "GET", "/", true, cluster.rules);
    call.refusedFrom = 2;
    call.start();
    clock.advance(50);
    call.refusedFrom = 4;
    expect(call.sent).toHaveLength(2);
    clock.advance(300);
    expect(call.sent).toHaveLength(3);
  });
});

describe("a hedge and the trial of a node", () => {
  function ejectA({ cluster }: Harness): void {
    while (cluster.nodeSet.nodes.get("http://a")?.health.kind === "in") {
      const call = ScriptedCall.start(cluster);
      if (call.triedKeys[0] === "http://a") call.break(failure("timeout", "no answer"));
      else call.headers();
      call.abort(new Error("done"));
    }
  }

  it("are apart: what is to save a slow call is not sent where perhaps nobody is back", () => {
    const harness = new Harness({ hedge: { afterMs: 6_000 } });
    ejectA(harness);
    const call = ScriptedCall.start(harness.cluster);
    harness.clock.advance(6_000);
    expect(harness.cluster.nodeSet.trials.map(({ key }) => key)).toEqual(["http://a"]);
    expect(call.triedKeys).toHaveLength(2);
    expect(call.triedKeys).not.toContain("http://a");
  });

  it("the trial that is overtaken has failed: a node that hangs is not tried again and again", () => {
    const harness = new Harness({ hedge: { afterMs: 50 } });
    ejectA(harness);
    harness.clock.advance(6_000);
    const trial = ScriptedCall.start(harness.cluster);
    expect(trial.triedKeys).toEqual(["http://a"]);
    harness.clock.advance(50);
    trial.headersOf(trial.sent[1]);
    trial.end(success);
    expect(harness.cluster.nodeSet.nodes.get("http://a")?.health.kind).toBe("out");
    expect(harness.cluster.nodeSet.trials).toEqual([]);
  });
});

describe("what hedges are paid from", () => {
  it("is the number of attempts too: a call that is to be sent once is sent once", async () => {
    const once = new Harness({ hedge: { afterMs: 50 }, retry: false });
    await once.resultOf(sleepy(once, "http://a"), get);
    expect(once.tried).toEqual(["http://a"]);
    const twice = new Harness({ hedge: { afterMs: 50 }, retry: { attempts: 2 } });
    await twice.resultOf(
      (attempt) => twice.after(60, attempt, () => ({ status: attempt.attempt < 2 ? 503 : 200 })),
      get,
    );
    expect(twice.tried).toHaveLength(2);
  });

  it("is the ledger of retries, of which they take no more than half", async () => {
    const budget = { ratio: 0, minPerSecond: 1 };
    const harness = new Harness({ hedge: { afterMs: 50 }, retry: { budget } });
    for (let index = 0; index < 30; index++) harness.call(() => harness.hang(), get);
    await harness.clock.advanceAsync(60);
    // Ten in ten seconds are granted; half of them is kept for what fails.
    expect(harness.tried).toHaveLength(30 + 5);
  });

  it("never goes over the breaker's cap of attempts beside the first", async () => {
    const harness = new Harness({ hedge: { afterMs: 50 }, breaker: { retries: 2, rate: false } });
    for (let index = 0; index < 10; index++) harness.call(() => harness.hang(), get);
    await harness.clock.advanceAsync(60);
    expect(harness.tried).toHaveLength(12);
  });
});

describe("a hedge after a percentile", () => {
  it("waits until it has seen enough, then goes for what is slower than that", async () => {
    const harness = new Harness({ hedge: { percentile: 95 } });
    const hang = harness.call(sleepy(harness, "http://a", 300), get);
    await harness.clock.advanceAsync(1_000);
    expect(hang.ended).toMatchObject({ value: "http://a", at: 300 });
    for (let index = 0; index < 300; index++) {
      harness.call((attempt) => harness.after(10, attempt, () => "quick"), get);
      await harness.clock.advanceAsync(20);
    }
    const before = harness.tried.length;
    const call = harness.call(
      (attempt) => harness.after(attempt.attempt === 1 ? 300 : 10, attempt, () => attempt.attempt),
      get,
    );
    await harness.clock.advanceAsync(40);
    expect(call.ended?.value).toBe(2);
    expect(harness.tried).toHaveLength(before + 2);
  });
});
