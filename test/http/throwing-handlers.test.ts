/** A handler that throws ends its own call with that error; no node is blamed and nothing stays in flight. */
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { expectIdle, expectNoBlame, inflight, startBalancer } from "./support/balancers.ts";
import { type HandlerHooks, RecordingHandler } from "./support/recording-handler.ts";
import { listen, refusingAddress, startServer } from "./support/server.ts";

const thrown = new Error("thrown by the handler");

function fail(): never {
  throw thrown;
}

const callbacks: readonly (keyof HandlerHooks)[] = [
  "onRequestStart",
  "onBodySent",
  "onRequestSent",
  "onResponseStart",
  "onResponseData",
  "onResponseEnd",
];

test.each(callbacks)("%s", async (callback) => {
  // Answers slowly, so that the request is always sent as a whole first.
  await using one = await startServer((_, response) => setTimeout(() => response.end("ok"), 20));
  await using two = await startServer();
  await using balancer = startBalancer([one, two]);
  const handler = new RecordingHandler({ [callback]: fail });
  balancer.dispatch({ path: "/", method: "PUT", body: "x" }, handler);
  while (handler.error === undefined) await sleep(5);
  await sleep(20);
  expect(handler.error).toBe(thrown);
  expect(handler.events.filter((event) => event === "error")).toHaveLength(1);
  expect(two.arrivals, "not tried again").toHaveLength(0);
  await expectIdle(balancer);
  expectNoBlame(balancer);
  // A call that is still counted would hold this up.
  await balancer.close();
});

test("an informational answer", async () => {
  await using server = await startServer((_, response) => {
    response.writeEarlyHints({ link: "</style.css>; rel=preload" });
    setTimeout(() => response.end("ok"), 20);
  });
  await using balancer = startBalancer([server]);
  const handler = new RecordingHandler({ onResponseStart: fail });
  balancer.dispatch({ path: "/", method: "GET" }, handler);
  await handler.done;
  expect(handler.events).toEqual(["start", "sent", "status 103", "error"]);
  await expectIdle(balancer);
  expectNoBlame(balancer);
});

test("onRequestUpgrade", async () => {
  const http = createServer();
  http.on("upgrade", (_, socket) => {
    socket.on("error", () => {});
    socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
  });
  await using server = await listen(http, []);
  await using balancer = startBalancer([server]);
  const handler = new RecordingHandler({ onRequestUpgrade: fail });
  balancer.dispatch({ path: "/", method: "GET", upgrade: "x" }, handler);
  while (handler.error === undefined) await sleep(5);
  expect(handler.error).toBe(thrown);
  await expectIdle(balancer);
  expectNoBlame(balancer);
  await balancer.close();
});

/** Runs `act` and gives what reached `uncaughtException` meanwhile, which Vitest would count as a failure. */
async function uncaughtDuring(act: () => Promise<unknown>): Promise<unknown[]> {
  const listeners = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  const uncaught: unknown[] = [];
  const note = (error: unknown): void => {
    uncaught.push(error);
  };
  process.on("uncaughtException", note);
  try {
    await act();
    await sleep(20);
  } finally {
    process.off("uncaughtException", note);
    for (const listener of listeners) process.on("uncaughtException", listener);
  }
  return uncaught;
}

test("onResponseError is uncaught, as in undici, and hurts no other call", async () => {
  await using silent = await startServer(() => {});
  await using balancer = startBalancer([silent], { timeouts: { attemptMs: 60 }, retry: false });
  const handlers = [
    new RecordingHandler({ onResponseError: fail }),
    new RecordingHandler(),
    new RecordingHandler(),
  ];
  const uncaught = await uncaughtDuring(async () => {
    // Their time is up in one and the same firing of the timer.
    for (const handler of handlers) balancer.dispatch({ path: "/", method: "GET" }, handler);
    await Promise.all(handlers.map(({ done }) => done));
  });
  expect(uncaught).toEqual([thrown]);
  expect(inflight(balancer)).toBe(0);
  await balancer.close();
});

test("onResponseError of a call that waits for discovery hurts no other", async () => {
  await using balancer = startBalancer([await refusingAddress()], { retry: false });
  const uncaught = await uncaughtDuring(async () => {
    const handlers = [new RecordingHandler({ onResponseError: fail }), new RecordingHandler()];
    for (const handler of handlers) balancer.dispatch({ path: "/", method: "GET" }, handler);
    await Promise.all(handlers.map(({ done }) => done));
  });
  expect(uncaught).toEqual([thrown]);
  await expectIdle(balancer);
});
