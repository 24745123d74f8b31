/** Bodies of calls that are tried again: whole or not at all, and a POST never twice. */
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { Dispatcher } from "undici";
import { expect, test } from "vitest";
import { expectIdle, rejection, startBalancer } from "./support/balancers.ts";
import { formBody, plainBodies } from "./support/bodies.ts";
import { type Answer, refusingAddress, startServer } from "./support/server.ts";

type Body = Dispatcher.DispatchOptions["body"];

const text = `naïve ${"0123456789".repeat(100)} end`;
/** More than is kept of one stream. */
const tooLong = "x".repeat(64 * 1_024 + 1);

const failings: readonly (readonly [string, Answer])[] = [
  ["a 503 at once", (_, response) => response.writeHead(503).end("busy")],
  [
    "a 503 after the whole body",
    async (_, response, arrival) => {
      await arrival.body;
      response.writeHead(503).end("busy");
    },
  ],
  ["a reset at once", (request) => request.socket.resetAndDestroy()],
  [
    "a reset after the whole body",
    async (request, _, arrival) => {
      await arrival.body;
      request.socket.resetAndDestroy();
    },
  ],
];

for (const [failing, answer] of failings) {
  test.each(plainBodies)(`PUT with $kind after ${failing}: the whole body once more`, async ({ make }) => {
    await using bad = await startServer(answer);
    await using good = await startServer();
    await using balancer = startBalancer([bad, good]);
    const { statusCode, body } = await balancer.request({
      path: "/",
      method: "PUT",
      body: make(text) as Body,
    });
    expect(statusCode).toBe(200);
    expect(await body.text()).toBe("ok");
    expect(bad.arrivals).toHaveLength(1);
    expect(good.arrivals).toHaveLength(1);
    expect(String(await good.arrivals[0]?.body)).toBe(text);
    await expectIdle(balancer);
  });

  test(`PUT with FormData after ${failing}`, async () => {
    await using bad = await startServer(answer);
    await using good = await startServer();
    await using balancer = startBalancer([bad, good]);
    const { body } = await balancer.request({ path: "/", method: "PUT", body: formBody.make(text) as Body });
    expect(await body.text()).toBe("ok");
    expect(String(await good.arrivals[0]?.body)).toContain(`name="field"\r\n\r\n${text}\r\n`);
  });

  test(`PUT by fetch after ${failing}`, async () => {
    await using bad = await startServer(answer);
    await using good = await startServer();
    await using balancer = startBalancer([bad, good]);
    const response = await balancer.fetch("/", { method: "PUT", body: text });
    expect(await response.text()).toBe("ok");
    expect(String(await good.arrivals[0]?.body)).toBe(text);
  });

  test(`POST is not sent again after ${failing}`, async () => {
    await using bad = await startServer(answer);
    await using good = await startServer();
    await using balancer = startBalancer([bad, good], { health: { ejection: false } });
    for (const { make } of plainBodies) {
      const call = balancer.request({ path: "/", method: "POST", body: make(text) as Body });
      const ended = await call.then(({ body }) => body.text()).catch((error: Error) => error.message);
      expect(ended).toMatch(/^busy$|ECONNRESET|UND_ERR_SOCKET|EPIPE/);
    }
    expect(good.arrivals).toHaveLength(0);
    await expectIdle(balancer);
  });
}

test("a node that answered 503 early never takes the part it got for the whole", async () => {
  await using bad = await startServer((_, response) => response.writeHead(503).end("busy"));
  await using good = await startServer();
  await using balancer = startBalancer([bad, good]);
  async function* slow(): AsyncGenerator<Buffer> {
    for (let piece = 0; piece < 20; piece++) {
      await sleep(5);
      yield Buffer.from("piece ");
    }
  }
  const body = slow() as unknown as Body;
  expect((await balancer.request({ path: "/", method: "PUT", body })).statusCode).toBe(200);
  expect(String(await good.arrivals[0]?.body)).toBe("piece ".repeat(20));
  const whole = bad.arrivals[0]?.body.then(String);
  expect(await Promise.race([whole?.catch(() => "broken"), sleep(50, "broken")])).toBe("broken");
});

test("with two attempts in all, streams are replayed as well", async () => {
  await using bad = await startServer((_, response) => response.writeHead(503).end());
  await using good = await startServer();
  await using balancer = startBalancer([bad, good], { retry: { attempts: 2 } });
  const { statusCode } = await balancer.request({ path: "/", method: "PUT", body: Readable.from([text]) });
  expect(statusCode).toBe(200);
  expect(String(await good.arrivals[0]?.body)).toBe(text);
});

test("over three attempts, the third gets the whole body too", async () => {
  await using one = await startServer((request) => request.socket.resetAndDestroy());
  await using two = await startServer((_, response) => response.writeHead(503).end());
  await using good = await startServer();
  await using balancer = startBalancer([one, two, good]);
  for (const { make } of plainBodies) {
    const { statusCode } = await balancer.request({ path: "/", method: "PUT", body: make(text) as Body });
    expect(statusCode).toBe(200);
  }
  for (const arrival of good.arrivals) expect(String(await arrival.body)).toBe(text);
  expect(good.arrivals).toHaveLength(plainBodies.length);
});

test("a stream of exactly 64 KiB is replayed", async () => {
  const whole = tooLong.slice(1);
  const [, answer] = failings[1] as (typeof failings)[number];
  await using bad = await startServer(answer);
  await using good = await startServer();
  await using balancer = startBalancer([bad, good]);
  const { statusCode } = await balancer.request({ path: "/", method: "PUT", body: Readable.from([whole]) });
  expect(statusCode).toBe(200);
  expect(String(await good.arrivals[0]?.body)).toBe(whole);
});

const streams = plainBodies.filter(({ kind }) => /generator|stream|Readable/.test(kind));

test.each(streams)("a longer $kind gets the 503 itself, and is not sent again", async ({ make }) => {
  const [, answer] = failings[1] as (typeof failings)[number];
  await using bad = await startServer(answer);
  await using good = await startServer();
  await using balancer = startBalancer([bad, good]);
  const { statusCode, body } = await balancer.request({
    path: "/",
    method: "PUT",
    body: make(tooLong) as Body,
  });
  expect(statusCode).toBe(503);
  expect(await body.text()).toBe("busy");
  expect(String(await bad.arrivals[0]?.body)).toBe(tooLong);
  expect(good.arrivals).toHaveLength(0);
});

test.each(streams)("a longer $kind gets the error of a reset", async ({ make }) => {
  const [, answer] = failings[3] as (typeof failings)[number];
  await using bad = await startServer(answer);
  await using good = await startServer();
  await using balancer = startBalancer([bad, good]);
  const error = await rejection(balancer.request({ path: "/", method: "PUT", body: make(tooLong) as Body }));
  expect(error).toMatchObject({ code: "ERR_NO_NODE", cause: expect.any(Error) });
  expect(good.arrivals).toHaveLength(0);
});

test.each([...plainBodies, formBody])(
  "POST with $kind after a refused connection: sent whole",
  async (kind) => {
    await using good = await startServer();
    await using balancer = startBalancer([await refusingAddress(), await refusingAddress(), good]);
    const body = kind.make(text) as Body;
    expect((await balancer.request({ path: "/", method: "POST", body })).statusCode).toBe(200);
    expect(good.arrivals).toHaveLength(1);
    const arrived = String(await good.arrivals[0]?.body);
    if (kind === formBody) expect(arrived).toContain(text);
    else expect(arrived).toBe(text);
  },
);

test("POST by fetch after a refused connection: sent whole", async () => {
  await using good = await startServer();
  await using balancer = startBalancer([await refusingAddress(), good]);
  await (await balancer.fetch("/", { method: "POST", body: text })).text();
  expect(String(await good.arrivals[0]?.body)).toBe(text);
});

test.each(streams)("POST with a long $kind after a refused connection: sent whole", async ({ make }) => {
  await using good = await startServer();
  await using balancer = startBalancer([await refusingAddress(), good]);
  const options = { path: "/", method: "POST", body: make(tooLong) as Body } as const;
  expect((await balancer.request(options)).statusCode).toBe(200);
  expect(String(await good.arrivals[0]?.body)).toBe(tooLong);
});

test.each(["PUT", "POST"])("%s: the source is let go of when the call ended early", async (method) => {
  await using server = await startServer((_, response) => response.writeHead(413).end("too long"));
  await using balancer = startBalancer([server]);
  const returned = Promise.withResolvers<void>();
  async function* endless(): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        await new Promise((resolve) => setImmediate(resolve));
        yield Buffer.alloc(1_000);
      }
    } finally {
      returned.resolve();
    }
  }
  const stream = new Readable({ read() {} });
  stream.push("first");
  stream.on("error", () => {});
  const closed = new Promise((resolve) => stream.once("close", resolve));
  for (const body of [stream, endless()]) {
    const controller = new AbortController();
    const call = balancer.request({ path: "/", method, body: body as Body, signal: controller.signal });
    const { statusCode, body: answer } = await call;
    expect(statusCode).toBe(413);
    await answer.text().catch(() => {});
    controller.abort();
  }
  for (const socket of server.open) socket.destroy();
  await Promise.all([closed, returned.promise]);
  await expectIdle(balancer);
});
