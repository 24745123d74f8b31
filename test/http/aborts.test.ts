/** The caller's abort, at every stage of a call: prompt, with the caller's reason, and nothing left behind. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Discovery } from "../../src/index.ts";
import { until } from "../support/until.ts";
import {
  expectIdle,
  expectNoBlame,
  inflight,
  rejection,
  startBalancer,
  type TestBalancer,
} from "./support/balancers.ts";
import { RecordingHandler } from "./support/recording-handler.ts";
import { startServer } from "./support/server.ts";
import { startStuckListener } from "./support/stuck-listener.ts";

/** On a busy machine; what is not prompt takes seconds or for ever. */
const promptMs = 250;
const reason = new Error("the caller gave up");

/** Starts a call by `request` and one by fetch, aborts both, and expects prompt ends with the reason. */
async function expectPromptAborts(balancer: TestBalancer, ready: () => Promise<unknown>): Promise<void> {
  const controller = new AbortController();
  const { signal } = controller;
  const request = rejection(
    balancer.request({ path: "/", method: "GET", signal }).then(({ body }) => body.text()),
  );
  const fetched = rejection(balancer.fetch("/", { signal }).then((response) => response.text()));
  await ready();
  const abortedAt = performance.now();
  controller.abort(reason);
  expect(await request).toBe(reason);
  expect(await fetched).toBe(reason);
  expect(performance.now() - abortedAt).toBeLessThan(promptMs);
  await expectIdle(balancer);
  const closing = performance.now();
  await balancer.close();
  expect(performance.now() - closing, "nothing holds the close up").toBeLessThan(promptMs + 1_000);
}

test("before anything is sent: a signal that was aborted", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const signal = AbortSignal.abort(reason);
  expect(await rejection(balancer.request({ path: "/", method: "GET", signal }))).toBe(reason);
  expect(await rejection(balancer.fetch("/", { signal }))).toBe(reason);
  expect(inflight(balancer)).toBe(0);
  expect(server.accepted).toBe(0);
  await balancer.close();
});

test.each<[string, Error | undefined]>([
  ["a reason", reason],
  ["none", undefined],
])("in onRequestStart, with %s", async (_, given) => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const handler = new RecordingHandler({ onRequestStart: (controller) => controller.abort(given as Error) });
  balancer.dispatch({ path: "/", method: "GET" }, handler);
  expect(handler.events).toEqual(["start", "error"]);
  expect(handler.controller?.aborted).toBe(true);
  if (given === undefined) expect(handler.error).toMatchObject({ code: "UND_ERR_ABORTED" });
  else expect(handler.error).toBe(given);
  expect(server.accepted).toBe(0);
  await balancer.close();
});

test("while waiting for discovery", async () => {
  const silent: Discovery = {
    // biome-ignore lint/correctness/useYield: a registry that says nothing
    async *watch({ signal }) {
      await once(signal, "abort");
    },
  };
  await using balancer = startBalancer([], { discovery: silent, timeouts: { connectMs: 5_000 } });
  await expectPromptAborts(balancer, () => sleep(20));
});

test("while connecting to a listener that never accepts", async () => {
  await using stuck = await startStuckListener();
  await using balancer = startBalancer([stuck], { timeouts: { connectMs: 800 } });
  await expectPromptAborts(balancer, () => until("connecting", () => inflight(balancer) === 2, 2_000));
  expectNoBlame(balancer);
});

test("while waiting for headers", async () => {
  await using server = await startServer(() => {});
  await using balancer = startBalancer([server]);
  await expectPromptAborts(balancer, () => until("arrivals", () => server.arrivals.length === 2, 2_000));
  expectNoBlame(balancer);
  await until("the connections are closed", () => server.open.size === 0, 1_000);
});

test("while waiting for a free connection", async () => {
  await using server = await startServer(() => {});
  await using balancer = startBalancer([server], { connections: { perNode: 1 } });
  const first = new RecordingHandler();
  balancer.dispatch({ path: "/", method: "GET" }, first);
  await until("arrival", () => server.arrivals.length === 1, 2_000);
  const signal = AbortSignal.timeout(20);
  const error = await rejection(balancer.request({ path: "/", method: "GET", signal }));
  expect(error.name).toBe("TimeoutError");
  expect(inflight(balancer)).toBe(1);
  first.controller?.abort(reason);
  await first.done;
  await expectIdle(balancer);
  await sleep(20);
  expect(server.arrivals, "the second was never sent").toHaveLength(1);
  expectNoBlame(balancer);
});

test("between two attempts", async () => {
  await using server = await startServer((_, response) => {
    response.writeHead(503, { "retry-after": "5" }).end();
  });
  await using balancer = startBalancer([server]);
  await expectPromptAborts(balancer, async () => {
    await until("both wait", () => server.arrivals.length === 2 && inflight(balancer) === 0, 2_000);
  });
  expect(server.arrivals).toHaveLength(2);
});

test("in the middle of the body", async () => {
  await using server = await startServer((_, response) => response.write("begun"));
  await using balancer = startBalancer([server]);
  await expectPromptAborts(balancer, async () => {
    await until("both have headers", () => server.arrivals.length === 2, 2_000);
    await sleep(50);
  });
  await until("the connections are closed", () => server.open.size === 0, 1_000);
  expectNoBlame(balancer);
});

test("by destroying the body", async () => {
  await using server = await startServer((_, response) => response.write("begun"));
  await using balancer = startBalancer([server]);
  const { body } = await balancer.request({ path: "/", method: "GET" });
  body.on("error", () => {});
  body.destroy();
  await expectIdle(balancer);
  const response = await balancer.fetch("/");
  await response.body?.cancel();
  await expectIdle(balancer);
  expectNoBlame(balancer);
});

test("in the middle of the request's body", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  for (const method of ["PUT", "POST"] as const) {
    const controller = new AbortController();
    async function* endless(): AsyncGenerator<Buffer> {
      for (;;) {
        await sleep(2);
        yield Buffer.alloc(100);
      }
    }
    const options = { path: "/", method, body: endless() as unknown as Buffer, signal: controller.signal };
    const failing = rejection(balancer.request(options));
    const before = server.arrivals.length;
    await until("arrival", () => server.arrivals.length > before, 2_000);
    controller.abort(reason);
    expect(await failing).toBe(reason);
    await expectIdle(balancer);
  }
  expectNoBlame(balancer);
});

test("after the end it does nothing", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const handler = new RecordingHandler();
  balancer.dispatch({ path: "/", method: "GET" }, handler);
  await handler.done;
  handler.controller?.abort(reason);
  handler.controller?.pause();
  handler.controller?.resume();
  await sleep(20);
  expect(handler.events).toEqual(["start", "sent", "status 200", "data", "end"]);
  expect(handler.ends).toBe(1);
  // The connection is in use by nobody else's fault.
  const { body } = await balancer.request({ path: "/", method: "GET" });
  await body.text();
  expect(server.accepted).toBe(1);
});

test("an abort by a listener to the end of the last attempt: the handler hears of that and of no other end", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const handler = new RecordingHandler();
  const abort = () => handler.controller?.abort(new Error("enough"));
  subscribe("evenkeel:attempt:end", abort);
  try {
    balancer.dispatch({ path: "/", method: "GET" }, handler);
    await handler.done;
    await expectIdle(balancer);
  } finally {
    unsubscribe("evenkeel:attempt:end", abort);
  }
  expect(handler.error?.message).toBe("enough");
  expect(handler.ends).toBe(1);
});
