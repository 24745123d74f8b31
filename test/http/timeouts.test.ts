/**
 * Exact deadlines. undici's own timers are about a second coarse: what fires within 700 ms is not one of them.
 *
 * These tests wait for the wall clock, since real sockets do not know any other; bounds are relative and wide.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { expectIdle, rejection, startBalancer } from "./support/balancers.ts";
import { refusingAddress, startServer } from "./support/server.ts";
import { startStuckListener } from "./support/stuck-listener.ts";

async function timed(call: Promise<unknown>): Promise<{ error: Error & { code?: string }; tookMs: number }> {
  const startedAt = performance.now();
  const error = await rejection(call);
  return { error, tookMs: performance.now() - startedAt };
}

test("attemptMs ends an attempt, and says who was tried and what each answered", async () => {
  await using silent = await startServer(() => {});
  await using busy = await startServer((_, response) => response.writeHead(503).end());
  await using balancer = startBalancer([busy, await refusingAddress(), silent], {
    timeouts: { attemptMs: 200 },
  });
  const [first, second, third] = balancer.nodes.map(({ address }) => address);
  const { error, tookMs } = await timed(balancer.request({ path: "/v1/orders", method: "GET" }));
  expect(error).toMatchObject({ name: "BalancerError", code: "ERR_DEADLINE", service: "orders" });
  expect(error.message).toContain(
    `orders: GET /v1/orders: no node gave an answer in 3 attempts: ${first} 503; ${second} ECONNREFUSED; ${third} no answer within 200 ms`,
  );
  expect(error.cause).toMatchObject({
    code: "ERR_DEADLINE",
    message: expect.stringContaining(String(third)),
  });
  expect(tookMs).toBeGreaterThan(150);
  expect(tookMs).toBeLessThan(700);
  await expectIdle(balancer);
  expect(balancer.nodes[2]).toMatchObject({ failures: 1 });
});

test("attemptMs tries a GET on another node, not a POST", async () => {
  await using silent = await startServer(() => {});
  await using good = await startServer();
  await using balancer = startBalancer([silent, good], { timeouts: { attemptMs: 200 } });
  const startedAt = performance.now();
  expect(await (await balancer.request({ path: "/", method: "GET" })).body.text()).toBe("ok");
  const tookMs = performance.now() - startedAt;
  expect(tookMs).toBeGreaterThan(150);
  expect(tookMs).toBeLessThan(700);
  const { error } = await timed(balancer.request({ path: "/", method: "POST", body: "x" }));
  expect(error).toMatchObject({ code: "ERR_DEADLINE" });
  expect(good.arrivals).toHaveLength(1);
});

test("attemptMs ends with the headers: a slow body is not its business", async () => {
  await using server = await startServer((_, response) => {
    response.write("slow ");
    setTimeout(() => response.end("body"), 300);
  });
  await using balancer = startBalancer([server], { timeouts: { attemptMs: 100 } });
  expect(await (await balancer.request({ path: "/", method: "GET" })).body.text()).toBe("slow body");
});

test("a POST that waited for a connection all the time was never sent, and goes elsewhere", async () => {
  await using busy = await startServer((_, response) => response.write("begun"));
  await using good = await startServer();
  await using balancer = startBalancer([busy, good], {
    timeouts: { attemptMs: 150 },
    connections: { perNode: 1 },
  });
  const first = await balancer.request({ path: "/", method: "GET" });
  const { statusCode } = await balancer.request({ path: "/", method: "POST", body: "second" });
  expect(statusCode).toBe(200);
  expect(String(await good.arrivals[0]?.body)).toBe("second");
  first.body.on("error", () => {}).destroy();
  await expectIdle(balancer);
  await sleep(50);
  expect(busy.arrivals, "what was abandoned in the queue is not sent later").toHaveLength(1);
});

test("totalMs bounds all attempts together", async () => {
  await using one = await startServer(() => {});
  await using two = await startServer(() => {});
  await using three = await startServer(() => {});
  await using balancer = startBalancer([one, two, three], { timeouts: { attemptMs: 200, totalMs: 300 } });
  const { error, tookMs } = await timed(balancer.request({ path: "/", method: "GET" }));
  expect(error).toMatchObject({ code: "ERR_DEADLINE", service: "orders", cause: { code: "ERR_DEADLINE" } });
  expect(error.message).toMatch(/^orders: GET \/: no answer within 300 ms in 2 attempts: /);
  expect(error.message).toContain(`${one.address} no answer within 200 ms; ${two.address} `);
  expect(tookMs).toBeGreaterThan(250);
  expect(tookMs).toBeLessThan(800);
  expect(three.arrivals).toHaveLength(0);
  await expectIdle(balancer);
  const [first, second] = balancer.nodes;
  expect(first).toMatchObject({ failures: 1 });
  // It was given a third of the time only.
  expect(second).toMatchObject({ failures: 0 });
});

test("totalMs ends a body that takes too long, however steadily it comes", async () => {
  await using server = await startServer((_, response) => {
    const ticking = setInterval(() => response.write("tick"), 10);
    response.on("close", () => clearInterval(ticking));
  });
  await using balancer = startBalancer([server], { timeouts: { totalMs: 250 } });
  const whole = balancer.request({ path: "/", method: "GET" }).then(({ body }) => body.text());
  const { error, tookMs } = await timed(whole);
  expect(error).toMatchObject({ code: "ERR_DEADLINE" });
  expect(error.message).toContain("the response was not whole within 250 ms");
  expect(tookMs).toBeGreaterThan(200);
  expect(tookMs).toBeLessThan(750);
  const fetched = balancer.fetch("/").then((response) => response.text());
  expect((await timed(fetched)).error.cause).toMatchObject({ code: "ERR_DEADLINE" });
  await expectIdle(balancer);
});

test("totalMs does not apply to an event stream, nor attemptMs", async () => {
  await using server = await startServer((_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
    response.write("data: 1\n\n");
    setTimeout(() => response.end("data: 2\n\n"), 400);
  });
  await using balancer = startBalancer([server], { timeouts: { totalMs: 150, attemptMs: 100 } });
  const { body } = await balancer.request({ path: "/", method: "GET" });
  expect(await body.text()).toBe("data: 1\n\ndata: 2\n\n");
  await expectIdle(balancer);
});

test("destroy ends an event stream after its deadlines", async () => {
  await using server = await startServer((_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 1\n\n");
  });
  await using balancer = startBalancer([server], { timeouts: { totalMs: 50, attemptMs: 50 } });
  const { body } = await balancer.request({ path: "/", method: "GET" });
  await sleep(150);
  const reason = new Error("over");
  const reading = rejection(body.text());
  await balancer.destroy(reason);
  expect(await reading).toBe(reason);
});

test("connectMs gives up on a listener that never accepts, and a POST goes elsewhere", async () => {
  await using stuck = await startStuckListener();
  await using good = await startServer();
  await using balancer = startBalancer([stuck, good], { timeouts: { connectMs: 200 } });
  const startedAt = performance.now();
  const { body } = await balancer.request({ path: "/", method: "POST", body: "x" });
  const tookMs = performance.now() - startedAt;
  expect(await body.text()).toBe("ok");
  expect(tookMs).toBeGreaterThan(150);
  expect(tookMs).toBeLessThan(700);
  expect(balancer.nodes[0]).toMatchObject({ failures: 1 });
});

test("connectMs alone is ERR_NO_NODE with undici's error as cause", async () => {
  await using stuck = await startStuckListener();
  await using balancer = startBalancer([stuck], { timeouts: { connectMs: 200 }, retry: false });
  const { error, tookMs } = await timed(balancer.request({ path: "/", method: "GET" }));
  expect(error).toMatchObject({ code: "ERR_NO_NODE", cause: { code: "UND_ERR_CONNECT_TIMEOUT" } });
  expect(error.message).toContain(`${stuck.address} connect timeout`);
  expect(tookMs).toBeGreaterThan(150);
  expect(tookMs).toBeLessThan(700);
});

test.each([100, 20_000])("bodyIdleMs ends a body that stalls, attemptMs %i", async (attemptMs) => {
  await using server = await startServer((_, response) => response.write("begun"));
  await using balancer = startBalancer([server], { timeouts: { bodyIdleMs: 100, attemptMs } });
  const whole = balancer.request({ path: "/", method: "GET" }).then(({ body }) => body.text());
  const { error, tookMs } = await timed(whole);
  expect(error).toMatchObject({ code: "UND_ERR_BODY_TIMEOUT" });
  expect(tookMs).toBeGreaterThan(90);
  // undici's own timers are up to a second late.
  expect(tookMs).toBeLessThan(700);
  expect(balancer.nodes[0]).toMatchObject({ failures: 1 });
  await expectIdle(balancer);
});

test("bodyIdleMs leaves alone a body that goes on, and one that the caller does not read", async () => {
  await using server = await startServer((_, response) => {
    let pieces = 0;
    const timer = setInterval(() => {
      if (++pieces < 10) response.write("x".repeat(100_000));
      else {
        clearInterval(timer);
        response.end();
      }
    }, 40);
  });
  await using balancer = startBalancer([server], { timeouts: { bodyIdleMs: 150, attemptMs: 50 } });
  const { body } = await balancer.request({ path: "/", method: "GET" });
  // Longer than bodyIdleMs: its buffer is full by then, and it is the caller who holds it up.
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect((await body.arrayBuffer()).byteLength).toBe(900_000);
  expect(balancer.nodes[0]).toMatchObject({ failures: 0 });
});
