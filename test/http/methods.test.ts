/** Every method that undici's Dispatcher has, through a Balancer: request, stream and pipeline. */

import { PassThrough, Readable, Writable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { pipeline as streamPipeline } from "node:stream/promises";
import { expect, test } from "vitest";
import { expectIdle, startBalancer } from "./support/balancers.ts";
import { refusingAddress, startServer } from "./support/server.ts";

test("request, as a promise", async () => {
  await using server = await startServer((_, response) => {
    response.writeHead(201, "Made", { "x-a": ["1", "2"] });
    response.end("made");
  });
  await using balancer = startBalancer([server]);
  const { statusCode, statusText, headers, body } = await balancer.request({
    path: "/v1/orders",
    method: "POST",
    query: { page: 2 },
    headers: { "x-b": "3" },
    body: "new",
  });
  expect(await body.text()).toBe("made");
  expect({ statusCode, statusText, a: headers["x-a"] }).toEqual({
    statusCode: 201,
    statusText: "Made",
    a: ["1", "2"],
  });
  const arrival = server.arrivals[0];
  expect(arrival).toMatchObject({ method: "POST", url: "/v1/orders?page=2" });
  expect(arrival?.headers["x-b"]).toBe("3");
  expect(String(await arrival?.body)).toBe("new");
  await expectIdle(balancer);
});

test("request, with a callback, opaque and raw headers", async () => {
  await using server = await startServer((_, response) => {
    response.setHeader("X-Mixed", "1");
    response.end("ok");
  });
  await using balancer = startBalancer([server]);
  const opaque = {};
  const answer = await new Promise<{ headers: unknown; opaque: unknown; text: string }>((resolve, reject) => {
    const options = { path: "/", method: "GET", opaque, responseHeaders: "raw" } as const;
    balancer.request(options, (error, data) => {
      if (error !== null) reject(error);
      else {
        text(data.body).then(
          (whole) => resolve({ headers: data.headers, opaque: data.opaque, text: whole }),
          reject,
        );
      }
    });
  });
  expect(answer.opaque).toBe(opaque);
  expect(answer.text).toBe("ok");
  expect(answer.headers).toContain("X-Mixed");
});

test("request with a callback hands over the error", async () => {
  await using balancer = startBalancer([], { timeouts: { connectMs: 50 } });
  const error = await new Promise<Error | null>((resolve) => {
    balancer.request({ path: "/", method: "GET" }, (failed) => resolve(failed));
  });
  expect(error).toMatchObject({ name: "BalancerError", code: "ERR_NO_NODE" });
});

test("stream writes into the stream that its factory makes", async () => {
  const sent = "x".repeat(300_000);
  await using server = await startServer((_, response) => response.end(sent));
  await using balancer = startBalancer([server]);
  const received: Buffer[] = [];
  let status = 0;
  await balancer.stream({ path: "/", method: "GET" }, ({ statusCode }) => {
    status = statusCode;
    return new Writable({
      write(chunk: Buffer, _encoding, done) {
        received.push(chunk);
        setImmediate(done);
      },
    });
  });
  expect(status).toBe(200);
  expect(Buffer.concat(received).toString()).toBe(sent);
  await expectIdle(balancer);
});

test("stream, with a callback, and a factory that throws", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const thrown = new Error("no room");
  const error = await new Promise<Error | null>((resolve) => {
    balancer.stream(
      { path: "/", method: "GET" },
      () => {
        throw thrown;
      },
      (failed) => resolve(failed),
    );
  });
  expect(error).toBe(thrown);
  await expectIdle(balancer);
  expect(balancer.nodes[0]).toMatchObject({ failures: 0, state: "ready" });
});

test("pipeline sends what flows in and hands on what comes back", async () => {
  await using server = await startServer((request, response) => request.pipe(response));
  await using balancer = startBalancer([server]);
  const sink = new PassThrough();
  const collected = buffer(sink);
  await streamPipeline(
    Readable.from(["one ", "two ", "three"]),
    balancer.pipeline({ path: "/", method: "PUT" }, ({ body }) => body),
    sink,
  );
  expect(String(await collected)).toBe("one two three");
  await expectIdle(balancer);
});

test("pipeline passes the error of a refused call on", async () => {
  await using balancer = startBalancer([await refusingAddress()]);
  const piping = streamPipeline(
    Readable.from(["one"]),
    balancer.pipeline({ path: "/", method: "PUT" }, ({ body }) => body),
    new PassThrough(),
  );
  await expect(piping).rejects.toMatchObject({ code: "ERR_NO_NODE", cause: { code: "ECONNREFUSED" } });
});
