/** What calls inherit, and what keeps them back: deadlines, aborts and priority of a handler, limits and breaker. */
import { once } from "node:events";
import { type Metadata, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { withDeadline } from "../../src/index.ts";
import { CallContext, runInContext } from "../../src/resilience/call-context.ts";
import { balance, eventually } from "./support/clients.ts";
import { methods, startServer } from "./support/servers.ts";

test("the least of a call's own deadline and the inherited one holds, and the server is told", async () => {
  const told: number[] = [];
  await using server = await startServer({
    get: (call, callback) => {
      told.push(Number(call.getDeadline()) - Date.now());
      callback(null, Buffer.from("1"));
    },
  });
  await using balanced = balance([server.address]);
  await withDeadline(5_000, () => balanced.client.get({ deadline: Date.now() + 60_000 }));
  await withDeadline(60_000, () => balanced.client.get({ deadline: Date.now() + 2_000 }));
  await balanced.client.get();
  expect(told[0]).toBeLessThanOrEqual(5_000);
  expect(told[0]).toBeGreaterThan(1_000);
  expect(told[1]).toBeLessThanOrEqual(2_000);
  expect(told[2]).toBe(Number.POSITIVE_INFINITY);
});

test.for(["grpc-timeout", "x-timeout-ms"])(
  "with deadlineHeader %s the server is told what is left",
  async (header) => {
    const deadlines: number[] = [];
    const headers: number[] = [];
    const note = (call: { getDeadline(): Date | number; metadata: Metadata }): void => {
      deadlines.push(Number(call.getDeadline()) - Date.now());
      headers.push(Number(call.metadata.get("x-timeout-ms")[0] ?? Number.POSITIVE_INFINITY));
    };
    await using server = await startServer({
      get: (call, callback) => {
        note(call);
        callback(null, Buffer.from("1"));
      },
      list: (call) => {
        note(call);
        call.end();
      },
    });
    const timeouts = { totalMs: 20_000 };
    await using balanced = balance([server.address], { deadlineHeader: header, timeouts });
    const { client } = balanced;
    await client.get();
    await client.get({ deadline: Date.now() + 60_000 });
    await client.get({ deadline: Date.now() + 3_000 });
    await withDeadline(3_000, () => client.get());
    await once(client.list({ deadline: Date.now() + 3_000 }).resume(), "end");
    await once(client.list().resume(), "end");
    const told = header === "grpc-timeout" ? deadlines : headers;
    for (const [index, limit] of [20_000, 20_000, 3_000, 3_000, 3_000].entries()) {
      expect(told[index], `call ${index}`).toBeLessThanOrEqual(limit);
      expect(told[index], `call ${index}`).toBeGreaterThan(limit / 2);
    }
    expect(told[5]).toBe(Number.POSITIVE_INFINITY);
    // What grpc-js tells by itself it goes on telling.
    expect(deadlines[2]).toBeLessThanOrEqual(3_000);
  },
);

test("a call of a handler ends with its deadline, and with its abort", async () => {
  await using server = await startServer({ get: () => {} });
  await using balanced = balance([server.address]);
  await expect(withDeadline(50, () => balanced.client.get())).rejects.toMatchObject({
    code: status.DEADLINE_EXCEEDED,
  });
  const abort = new AbortController();
  const context = new CallContext({ endsAt: Number.POSITIVE_INFINITY, signal: abort.signal });
  const call = runInContext(context, () => balanced.client.get());
  await eventually("it is under way", () => server.gets === 2);
  abort.abort(new Error("gone"));
  await expect(call).rejects.toMatchObject({
    code: status.CANCELLED,
    details: expect.stringContaining("gone"),
  });
  expect(balanced.balancer.nodes[0]?.inflight).toBe(0);
  await expect(runInContext(context, () => balanced.client.get())).rejects.toMatchObject({
    code: status.CANCELLED,
  });
});

test("a failure below is noted for whoever waits for the handler, and a node that only passes it on is not blamed", async () => {
  await using failing = await startServer({
    get: (_call, callback) => callback({ code: status.UNAVAILABLE }),
  });
  await using balanced = balance([failing.address]);
  const context = new CallContext({ endsAt: Number.POSITIVE_INFINITY });
  await expect(runInContext(context, () => balanced.client.get())).rejects.toThrow();
  expect(context.failedBelow).toBe(true);

  const { Metadata } = await import("@grpc/grpc-js");
  await using passing = await startServer({
    get: (_call, callback) => {
      const metadata = new Metadata();
      metadata.set("evenkeel-retry", "no");
      callback({ code: status.UNAVAILABLE, metadata });
    },
  });
  await using above = balance([passing.address], { retry: { methods: [methods.get.path] } });
  await expect(above.client.get()).rejects.toMatchObject({ code: status.UNAVAILABLE });
  expect(passing.gets).toBe(1);
});

test("priority is sent on", async () => {
  const seen: unknown[] = [];
  await using server = await startServer({
    get: (call, callback) => {
      seen.push(call.metadata.get("evenkeel-priority")[0]);
      callback(null, Buffer.from("1"));
    },
  });
  await using balanced = balance([server.address]);
  const context = new CallContext({ endsAt: Number.POSITIVE_INFINITY, priority: "sheddable" });
  await balanced.client.get();
  await runInContext(context, () => balanced.client.get());
  expect(seen).toEqual([undefined, "sheddable"]);
});

test("limits keep calls waiting and refuse what is too much", async () => {
  const answers: (() => void)[] = [];
  await using server = await startServer({
    get: (_call, callback) => void answers.push(() => callback(null, Buffer.from("1"))),
  });
  await using balanced = balance([server.address], { limits: { inflight: 2, queue: 1, queueMs: 5_000 } });
  const calls = [1, 2, 3].map(() => balanced.client.get());
  await eventually("two are there", () => server.gets === 2);
  await expect(balanced.client.get()).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED });
  expect(server.gets).toBe(2);
  answers.shift()?.();
  await eventually("the third is there", () => server.gets === 3);
  for (const answer of answers) answer();
  await Promise.all(calls);
  expect(balanced.balancer.cluster.admissionState).toMatchObject({ inflight: 0, queued: 0 });
});
