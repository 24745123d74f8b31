/** Fault 7: a node answers one byte at a time and never comes to an end. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { Balancer } from "../../src/index.ts";
import { startHttp2Server } from "../http/support/http2-server.ts";
import { count, ms, printFigure } from "../support/figure.ts";
import { inOrder } from "../support/in-order.ts";
import { isMultiplexed, protocols } from "../support/protocols.ts";
import { first, startService } from "../support/service.ts";
import { until } from "../support/until.ts";

const callers = 20;
const totalMs = 2_500;
/** For the connections and headers of all of them to come; the second half of each body comes then, and trickles. */
const headersMs = 1_000;
/** The mark is 100 ms. What is above that is for the machine, on which other things run. */
const spareMs = 400;

// The proxy slows down whole connections. Over HTTP/2 that is a peer whose PINGs go unanswered, which is fault 3.
const slowable = protocols.filter((protocol) => !isMultiplexed(protocol));
const cases = slowable.flatMap((protocol) => [
  // A byte now and then keeps the wait between two pieces short: only the deadline can end it.
  { protocol, freedBy: "the deadline", everyMs: 50, bodyIdleMs: 30_000, dueMs: totalMs, lateMs: 100 },
  { protocol, freedBy: "bodyIdleMs", everyMs: 3_600_000, bodyIdleMs: 200, dueMs: 200, lateMs: 100 },
]);

test.for(cases)(
  "a body that trickles over $protocol.name is freed by $freedBy",
  async ({ protocol, freedBy, everyMs, bodyIdleMs, dueMs, lateMs }) => {
    await using service = await startService(
      "slow-loris",
      1,
      { workMs: 0, workers: callers, body: "x".repeat(2_000), bodyMs: headersMs },
      { timeouts: { totalMs: freedBy === "the deadline" ? totalMs : 60_000, bodyIdleMs } },
      { protocol, proxied: true },
    );
    const { balancer } = service;
    const proxy = first(service.proxies, "proxy");
    let open = 0;
    let answered = 0;
    balancer.on("connect", () => {
      open++;
    });
    balancer.on("disconnect", () => {
      open--;
    });
    const startedAt = performance.now();
    const calls = Array.from({ length: callers }, async () => {
      const { body } = await balancer.request({ path: "/", method: "GET" });
      answered++;
      return await body.text().then(
        () => undefined,
        (error: Error) => ({ error, tookMs: performance.now() - startedAt }),
      );
    });
    await until("all headers came", () => answered === callers, headersMs - 100);
    const bytesBefore = proxy.bytes.response;
    const slowAt = performance.now();
    await proxy.set({ kind: "drip", everyMs });
    const ends = await Promise.all(calls);
    const bytes = proxy.bytes.response - bytesBefore;
    const freedMs = await until(
      "nothing is in flight and no connection is left",
      () => open === 0 && balancer.nodes.every(({ inflight }) => inflight === 0),
      2_000,
    );
    const from = freedBy === "the deadline" ? startedAt : slowAt;
    const late = Math.max(
      ...ends.map((end) => (end === undefined ? 0 : startedAt + end.tookMs - from - dueMs)),
    );

    printFigure(
      `7 slow loris, ${freedBy}, ${protocol.name}`,
      `freed ${ms(late)} after the ${ms(dueMs)} (pass: ${ms(lateMs)})`,
      `connections closed ${ms(freedMs)} later`,
      `${count(bytes)} bytes trickled to ${callers} callers`,
      `bodies called complete: ${ends.filter((end) => end === undefined).length} (pass: 0)`,
    );
    if (freedBy === "the deadline") expect(bytes).toBeGreaterThanOrEqual(callers);
    for (const end of ends) expect(end?.error).toBeInstanceOf(Error);
    expect(late).toBeLessThanOrEqual(lateMs + spareMs);
  },
);

test.for(slowable)(
  "headers that trickle over $name are given up by attemptMs, and come from another node",
  async (protocol) => {
    const attemptMs = 300;
    await using service = await startService(
      "slow-loris-headers",
      2,
      { workMs: 0 },
      { policy: inOrder(), timeouts: { attemptMs }, health: { ejection: false }, retry: { budget: false } },
      { protocol, proxied: true },
    );
    const { recorder } = service;
    const proxy = first(service.proxies, "proxy");
    // The connections are made before.
    await Promise.all(Array.from({ length: callers }, () => service.call()));
    await proxy.set({ kind: "drip", everyMs: 20 });
    const times = await Promise.all(
      Array.from({ length: callers }, async (_, index) => {
        await sleep(index * 5);
        const startedAt = performance.now();
        await service.call();
        return performance.now() - startedAt;
      }),
    );
    // A call may find all connections in use, and a new one trickles into being as slowly.
    const timeouts = recorder
      .endsOn(proxy.address)
      .filter(({ reason }) => reason === "timeout" || reason === "busy");
    const slowest = Math.max(...times);
    printFigure(
      `7 slow loris in headers, ${protocol.name}`,
      `0 of ${callers} failed (pass: 0)`,
      `slowest ${ms(slowest)} with ${ms(attemptMs)} for an attempt (pass: ${ms(attemptMs + 100)})`,
      `${timeouts.length} attempts timed out`,
    );
    expect(timeouts).toHaveLength(callers);
    expect(slowest).toBeLessThanOrEqual(attemptMs + 100 + spareMs);
    await until("the slow connections are closed", () => proxy.connections === 0, 2_000);
  },
);

test("a body that trickles over one HTTP/2 stream is freed by the deadline, and holds up no other call", async () => {
  await using node = await startHttp2Server((stream, { path }) => {
    stream.respond({ ":status": 200 });
    if (path !== "/slow") {
      stream.end("ok");
      return;
    }
    const trickle = setInterval(() => stream.write("x"), 50);
    stream.once("close", () => clearInterval(trickle));
  });
  await using balancer = new Balancer({
    name: "slow-streams",
    discovery: [node.address],
    connections: { http2: "prior-knowledge" },
  });
  const deadlineMs = 1_000;
  const view = balancer.with({ totalMs: deadlineMs });
  const startedAt = performance.now();
  const slow = Array.from({ length: callers }, async () => {
    const { body } = await view.request({ path: "/slow", method: "GET" });
    let bytes = 0;
    const failure = await (async () => {
      for await (const chunk of body) bytes += (chunk as Buffer).length;
    })().catch((error: Error) => error);
    return { bytes, failure, tookMs: performance.now() - startedAt };
  });
  let others = 0;
  while (performance.now() - startedAt < deadlineMs - 100) {
    const { body } = await balancer.request({ path: "/", method: "GET" });
    if ((await body.text()) === "ok") others++;
  }
  const ends = await Promise.all(slow);
  const late = Math.max(...ends.map(({ tookMs }) => tookMs - deadlineMs));
  const bytes = ends.reduce((sum, end) => sum + end.bytes, 0);
  printFigure(
    "7 slow loris, one stream of many, h2c",
    `freed ${ms(late)} after the ${ms(deadlineMs)} (pass: 100 ms)`,
    `${count(bytes)} bytes trickled to ${callers} callers`,
    `bodies called complete: ${ends.filter(({ failure }) => failure === undefined).length} (pass: 0)`,
    `other calls answered meanwhile: ${others}, over ${node.sessionCount} connection`,
  );
  for (const { bytes: own, failure } of ends) {
    expect(own).toBeGreaterThan(0);
    expect(failure).toBeInstanceOf(Error);
  }
  expect(late).toBeLessThanOrEqual(100 + spareMs);
  expect(others).toBeGreaterThan(callers);
  expect(node.sessionCount).toBe(1);
});
