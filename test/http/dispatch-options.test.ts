/** Options that are wrong give the handler undici's own error, and headers reach a node in whatever form they come. */
import type { Dispatcher } from "undici";
import { expect, test } from "vitest";
import { expectIdle, inflight, startBalancer } from "./support/balancers.ts";
import { RecordingHandler } from "./support/recording-handler.ts";
import { refusingAddress, startServer } from "./support/server.ts";

type Options = Dispatcher.DispatchOptions;

const get: Options = { path: "/", method: "GET" };

test.each<[string, object, RegExp]>([
  ["a path without a slash", { path: "orders" }, /path must/],
  ["a path with a line break", { path: "/a\r\nx: y" }, /invalid request path/],
  ["no path", { path: undefined }, /path must be a string/],
  ["a method that is none", { method: "GE T" }, /invalid request method/],
  ["no method", { method: undefined }, /method must be a string/],
  ["a header with a line break", { headers: { "x-a": "1\r\nx-b: 2" } }, /invalid x-a header/],
  ["headers that are none", { method: "POST", headers: 5 }, /headers must be/],
  ["headers that are text", { method: "POST", headers: "x-a: 1" }, /headers must be/],
  ["an odd list of headers", { method: "POST", headers: ["x-a"] }, /headers array must be even/],
  ["a body of no kind", { method: "PUT", body: 5 }, /body must be/],
  ["a body that is any object", { method: "PUT", body: {} }, /body must be/],
  [
    "a length that does not fit",
    { method: "PUT", body: "abc", headers: { "content-length": "2" } },
    /length/,
  ],
])("%s gives the handler undici's error, and no node is blamed", async (_, wrong, message) => {
  await using server = await startServer();
  await using balancer = startBalancer([server, await refusingAddress()], { policy: undefined });
  const handler = new RecordingHandler();
  balancer.dispatch({ ...get, ...wrong } as Options, handler);
  await handler.done;
  expect(handler.ends).toBe(1);
  expect(handler.error).toMatchObject({ code: expect.stringMatching(/^UND_ERR_(INVALID_ARG|REQ_CONTENT)/) });
  expect(handler.error?.message).toMatch(message);
  await expectIdle(balancer);
  const [node] = balancer.nodes;
  expect(node).toMatchObject({ failures: 0, state: "ready" });
  expect(server.arrivals).toHaveLength(0);
});

test.each([null, undefined, 5, "options"])("options %j give the handler an error", async (options) => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  const handler = new RecordingHandler();
  expect(balancer.dispatch(options as unknown as Options, handler)).toBe(false);
  await handler.done;
  expect(handler.error).toBeInstanceOf(Error);
  expect(inflight(balancer)).toBe(0);
});

test.each([null, undefined, 5])("the handler %j is a TypeError", async (handler) => {
  await using balancer = startBalancer([]);
  expect(() => balancer.dispatch(get, handler as unknown as Dispatcher.DispatchHandler)).toThrow(TypeError);
});

test.each<[string, () => unknown]>([
  ["an object", () => ({ "idempotency-key": "7", "x-a": "1" })],
  ["a flat list", () => ["Idempotency-Key", "7", "x-a", "1"]],
  ["a Map", () => new Map([["idempotency-key", "7"], ["x-a", "1"]])], // biome-ignore format: short
  ["Headers", () => new Headers({ "idempotency-key": "7", "x-a": "1" })],
  ["a generator", () => new Headers({ "idempotency-key": "7", "x-a": "1" }).entries()],
])("headers as %s reach every attempt", async (_, make) => {
  await using bad = await startServer((_, response) => response.writeHead(503).end());
  await using good = await startServer();
  await using balancer = startBalancer([bad, good]);
  const headers = make() as Options["headers"];
  const { statusCode } = await balancer.request({ path: "/", method: "POST", headers, body: "x" });
  expect(statusCode).toBe(200);
  for (const server of [bad, good]) {
    expect(server.arrivals[0]?.headers).toMatchObject({ "idempotency-key": "7", "x-a": "1" });
  }
});
