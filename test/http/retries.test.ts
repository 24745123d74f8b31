/** When a call is tried again, when it is not, and how long it waits. */
import type { Dispatcher } from "undici";
import { expect, test } from "vitest";
import { Recorder } from "../support/recorder.ts";
import { rejection, startBalancer } from "./support/balancers.ts";
import { type Answer, refusingAddress, startServer } from "./support/server.ts";

const busy: Answer = (_, response) => response.writeHead(503).end("busy");

test.each([502, 503, 504])("%i is tried on another node by default", async (status) => {
  await using bad = await startServer((_, response) => response.writeHead(status).end());
  await using good = await startServer();
  await using balancer = startBalancer([bad, good]);
  expect((await balancer.request({ path: "/", method: "GET" })).statusCode).toBe(200);
  expect((await balancer.fetch("/")).status).toBe(200);
});

test.each([500, 501, 429, 404])("%i is the answer by default", async (status) => {
  await using bad = await startServer((_, response) => response.writeHead(status).end("why"));
  await using good = await startServer();
  await using balancer = startBalancer([bad, good]);
  const { statusCode, body } = await balancer.request({ path: "/", method: "GET" });
  expect(statusCode).toBe(status);
  expect(await body.text()).toBe("why");
  expect(good.arrivals).toHaveLength(0);
});

test("retry.statuses says which, in place of the defaults", async () => {
  await using bad = await startServer((request, response) => {
    response.writeHead(Number(request.url?.slice(1))).end();
  });
  await using good = await startServer();
  await using balancer = startBalancer([bad, good], { retry: { statuses: [500, 404] } });
  const status = async (path: string): Promise<number> =>
    (await balancer.request({ path, method: "GET" })).statusCode;
  expect([await status("/500"), await status("/404"), await status("/503")]).toEqual([200, 200, 503]);
});

test.each(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])("%s is tried again", async (method) => {
  await using bad = await startServer(busy);
  await using good = await startServer();
  await using balancer = startBalancer([bad, good]);
  expect((await balancer.request({ path: "/", method: method as "GET" })).statusCode).toBe(200);
});

test.each<[string, Partial<Dispatcher.RequestOptions>, number]>([
  ["POST", { method: "POST" }, 503],
  ["PATCH", { method: "PATCH" }, 503],
  ["POST with an Idempotency-Key", { method: "POST", headers: { "Idempotency-Key": "7" } }, 200],
  ["POST with idempotent: true", { method: "POST", idempotent: true }, 200],
  ["POST with a key and idempotent: false", { method: "POST", headers: { "idempotency-key": "7" }, idempotent: false }, 503], // biome-ignore format: one case, one line
  ["GET with idempotent: false", { method: "GET", idempotent: false }, 503],
])("%s", async (_, options, expected) => {
  await using bad = await startServer(busy);
  await using good = await startServer();
  await using balancer = startBalancer([bad, good]);
  const { statusCode } = await balancer.request({ path: "/", method: "GET", ...options });
  expect(statusCode).toBe(expected);
  expect(good.arrivals).toHaveLength(expected === 200 ? 1 : 0);
});

test("fetch with an Idempotency-Key", async () => {
  await using bad = await startServer(busy);
  await using good = await startServer();
  await using balancer = startBalancer([bad, good]);
  const headers = { "idempotency-key": "7" };
  expect((await balancer.fetch("/", { method: "POST", body: "x", headers })).status).toBe(200);
  expect(String(await good.arrivals[0]?.body)).toBe("x");
});

test("retry.methods says which, in place of the defaults", async () => {
  await using bad = await startServer(busy);
  await using good = await startServer();
  await using balancer = startBalancer([bad, good], { retry: { methods: ["post"] } });
  expect((await balancer.request({ path: "/", method: "POST" })).statusCode).toBe(200);
  expect((await balancer.request({ path: "/", method: "GET" })).statusCode).toBe(503);
});

test("a call that cannot be repeated, refused by all, tries each of three", async () => {
  const addresses = [await refusingAddress(), await refusingAddress(), await refusingAddress()];
  await using balancer = startBalancer(addresses);
  const error = await rejection(balancer.request({ path: "/", method: "POST", body: "x" }));
  expect(error).toMatchObject({ code: "ERR_NO_NODE", cause: { code: "ECONNREFUSED" } });
  expect(error.message).toBe(
    `orders: POST /: no node gave an answer in 3 attempts: ${addresses.map((address) => `${address} ECONNREFUSED`).join("; ")}`,
  );
});

test("the last answer is delivered when all attempts got one that is retried", async () => {
  await using one = await startServer(busy);
  await using two = await startServer((_, response) => response.writeHead(502).end("second"));
  await using balancer = startBalancer([one, two], { retry: { attempts: 2 } });
  const { statusCode, body } = await balancer.request({ path: "/", method: "GET" });
  expect(statusCode).toBe(502);
  expect(await body.text()).toBe("second");
});

test("retry: false sends a call once, whatever happens", async () => {
  await using bad = await startServer(busy);
  await using good = await startServer();
  await using balancer = startBalancer([bad, good], { retry: false });
  expect((await balancer.request({ path: "/", method: "GET" })).statusCode).toBe(503);
  await using refused = startBalancer([await refusingAddress(), good], { retry: false });
  expect(await rejection(refused.request({ path: "/", method: "GET" }))).toMatchObject({
    code: "ERR_NO_NODE",
  });
  expect(good.arrivals).toHaveLength(0);
});

test("what nobody wants of an answer is read, and its connection used again", async () => {
  await using bad = await startServer((_, response) => response.writeHead(503).end("x".repeat(1_000)));
  await using good = await startServer();
  await using balancer = startBalancer([bad, good], { health: { ejection: false } });
  for (let round = 0; round < 5; round++) {
    await (await balancer.request({ path: "/", method: "GET" })).body.text();
  }
  expect(bad.arrivals).toHaveLength(5);
  expect(bad.accepted).toBe(1);
});

test("an endless answer that nobody wants is cut", async () => {
  await using bad = await startServer((_, response) => {
    response.writeHead(503);
    const writing = setInterval(() => response.write(Buffer.alloc(16_384)), 5);
    response.on("close", () => clearInterval(writing));
  });
  await using good = await startServer();
  await using balancer = startBalancer([bad, good]);
  await (await balancer.request({ path: "/", method: "GET" })).body.text();
  const closed = performance.now();
  await balancer.close();
  expect(performance.now() - closed).toBeLessThan(2_000);
});

test("Retry-After is waited for when the same node must be asked again", async () => {
  let answers = 0;
  await using server = await startServer((_, response) => {
    if (answers++ === 0) response.writeHead(503, { "retry-after": "1" }).end();
    else response.end("ok");
  });
  await using balancer = startBalancer([server]);
  const startedAt = performance.now();
  expect((await balancer.request({ path: "/", method: "GET" })).statusCode).toBe(200);
  expect(performance.now() - startedAt).toBeGreaterThan(950);
});

test("Retry-After of one node does not hold up a call that goes to another", async () => {
  await using bad = await startServer((_, response) => response.writeHead(503, { "retry-after": "5" }).end());
  await using good = await startServer();
  await using balancer = startBalancer([bad, good]);
  const startedAt = performance.now();
  expect((await balancer.request({ path: "/", method: "GET" })).statusCode).toBe(200);
  expect(performance.now() - startedAt).toBeLessThan(1_000);
});

test("a Retry-After beyond the call's time gives the answer at once", async () => {
  await using server = await startServer((_, response) => {
    response.writeHead(503, { "retry-after": "60" }).end("later");
  });
  await using balancer = startBalancer([server], { timeouts: { totalMs: 1_000 } });
  const { statusCode, body } = await balancer.request({ path: "/", method: "GET" });
  expect(statusCode).toBe(503);
  expect(await body.text()).toBe("later");
});

test("the budget bounds retries, and its end gives callers the answers themselves", async () => {
  using recorder = new Recorder("orders");
  await using one = await startServer(busy);
  await using two = await startServer(busy);
  await using balancer = startBalancer([one, two], {
    retry: { budget: { ratio: 0.1, minPerSecond: 0 } },
    health: { ejection: false },
  });
  const statuses: number[] = [];
  for (let call = 0; call < 100; call++) {
    const { statusCode, body } = await balancer.request({ path: "/", method: "GET" });
    await body.dump();
    statuses.push(statusCode);
  }
  expect(new Set(statuses)).toEqual(new Set([503]));
  expect(recorder.retries.length).toBeLessThanOrEqual(10);
  expect(recorder.retries.length).toBeGreaterThanOrEqual(8);
  expect(one.arrivals.length + two.arrivals.length).toBe(100 + recorder.retries.length);
});
