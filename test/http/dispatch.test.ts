/** `dispatch` itself: handlers of both kinds, the order of what they are told, and one end for each call. */
import type { EventEmitter } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type { Dispatcher } from "undici";
import { expect, test } from "vitest";
import { expectIdle, startBalancer } from "./support/balancers.ts";
import { RecordingHandler } from "./support/recording-handler.ts";
import { refusingAddress, startServer, startTcpServer } from "./support/server.ts";

type Options = Dispatcher.DispatchOptions;

const get: Options = { path: "/", method: "GET" };

test("tells a handler of an answer in order, with headers and trailers as they came", async () => {
  await using server = await startServer((_, response) => {
    response.writeHead(200, { "X-Mixed": "1", trailer: "X-Sum" });
    response.write("body");
    response.addTrailers({ "X-Sum": "4" });
    response.end();
  });
  await using balancer = startBalancer([server]);
  const handler = new RecordingHandler();
  expect(balancer.dispatch({ ...get, method: "PUT", body: "request" }, handler)).toBe(true);
  await handler.done;
  expect(handler.events).toEqual(["start", "sent", "status 200", "data", "end"]);
  expect(handler.body).toBe("body");
  expect(handler.sent).toBe(7);
  expect(handler.headers).toMatchObject({ "x-mixed": "1" });
  expect(handler.trailers).toEqual({ "x-sum": "4" });
  const raw = (handler.rawHeaders as Buffer[]).map(String);
  expect(raw[raw.indexOf("X-Mixed") + 1]).toBe("1");
  expect((handler.rawTrailers as Buffer[]).map(String)).toEqual(["X-Sum", "4"]);
  await expectIdle(balancer);
});

test("starts a handler once and ends it once, however many attempts it takes", async () => {
  await using reset = await startServer((request) => request.socket.resetAndDestroy());
  await using busy = await startServer((_, response) => response.writeHead(503).end("busy"));
  await using good = await startServer();
  await using balancer = startBalancer([await refusingAddress(), reset, busy, good], {
    retry: { attempts: 4 },
  });
  const handler = new RecordingHandler();
  balancer.dispatch(get, handler);
  await handler.done;
  await sleep(50);
  expect(handler.events.filter((event) => event !== "sent")).toEqual(["start", "status 200", "data", "end"]);
  expect(handler.body).toBe("ok");
  expect(handler.ends).toBe(1);
});

test("ends a handler once with the error when all attempts failed", async () => {
  await using one = await startServer((request) => request.socket.resetAndDestroy());
  await using two = await startServer((request) => request.socket.resetAndDestroy());
  await using balancer = startBalancer([one, two]);
  const handler = new RecordingHandler();
  balancer.dispatch(get, handler);
  await handler.done;
  await sleep(50);
  expect(handler.events.filter((event) => event !== "sent")).toEqual(["start", "error"]);
  expect(handler.ends).toBe(1);
  expect(handler.error).toMatchObject({ code: "ERR_NO_NODE" });
  await expectIdle(balancer);
});

test("tells of informational answers before the final one", async () => {
  await using server = await startServer((_, response) => {
    response.writeEarlyHints({ link: "</style.css>; rel=preload" });
    response.writeProcessing();
    setTimeout(() => response.end("ok"), 20);
  });
  await using balancer = startBalancer([server]);
  const links: unknown[] = [];
  const handler = new RecordingHandler({
    onResponseStart: (_, status) => {
      if (status === 103) links.push(handler.headers.link);
    },
  });
  balancer.dispatch(get, handler);
  await handler.done;
  expect(handler.events).toEqual(["start", "sent", "status 103", "status 102", "status 200", "data", "end"]);
  expect(links).toEqual(["</style.css>; rel=preload"]);
  const infos: number[] = [];
  const { body } = await balancer.request({ ...get, onInfo: ({ statusCode }) => infos.push(statusCode) });
  await body.text();
  expect(infos).toEqual([103, 102]);
});

test("an informational answer delivers nothing: the call may still be tried again", async () => {
  await using bad = await startServer((request, response) => {
    response.writeEarlyHints({ link: "</style.css>; rel=preload" }, () => {
      setTimeout(() => request.socket.resetAndDestroy(), 20);
    });
  });
  await using good = await startServer();
  await using balancer = startBalancer([bad, good]);
  expect(await (await balancer.request(get)).body.text()).toBe("ok");
});

test.each([
  ["HEAD", 200],
  ["GET", 204],
  ["GET", 304],
])("%s with %i has no body", async (method, status) => {
  await using server = await startServer((_, response) => {
    response.writeHead(status, method === "HEAD" ? { "content-length": "100" } : {});
    response.end();
  });
  await using balancer = startBalancer([server]);
  for (let round = 0; round < 2; round++) {
    const answer = await balancer.request({ path: "/", method: method as "GET" });
    expect(answer.statusCode).toBe(status);
    expect(await answer.body.text()).toBe("");
  }
  await expectIdle(balancer);
});

test("serves handlers of undici's former interface", async () => {
  await using bad = await startServer((_, response) => response.writeHead(503).end());
  await using server = await startServer((_, response) => {
    response.setHeader("X-Mixed", "1");
    response.write("bo");
    setTimeout(() => response.end("dy"), 10);
  });
  await using balancer = startBalancer([bad, server]);
  const told: unknown[] = [];
  const done = Promise.withResolvers<void>();
  const handler = {
    onConnect: (abort: unknown) => told.push(["connect", typeof abort]),
    onHeaders(status: number, headers: Buffer[], resume: () => void) {
      told.push(["headers", status, headers.map(String).includes("X-Mixed")]);
      setTimeout(resume, 20);
      return false;
    },
    onData: (chunk: Buffer) => told.push(["data", String(chunk)]) > 0,
    onComplete(trailers: Buffer[]) {
      told.push(["complete", trailers]);
      done.resolve();
    },
    onError: (error: Error) => done.reject(error),
  };
  balancer.dispatch(get, handler as unknown as Dispatcher.DispatchHandler);
  await done.promise;
  expect(told).toEqual([
    ["connect", "function"],
    ["headers", 200, true],
    ["data", "bo"],
    ["data", "dy"],
    ["complete", []],
  ]);
});

test("a handler of the former interface gets errors, and may abort", async () => {
  await using server = await startServer(() => {});
  await using balancer = startBalancer([server]);
  const reason = new Error("enough");
  const error = await new Promise<Error>((resolve) => {
    const handler = {
      onConnect: (abort: (reason: Error) => void) => setTimeout(() => abort(reason), 20),
      onHeaders: () => true,
      onData: () => true,
      onComplete: () => {},
      onError: resolve,
    };
    balancer.dispatch(get, handler as unknown as Dispatcher.DispatchHandler);
  });
  expect(error).toBe(reason);
  await expectIdle(balancer);
});

test("returns false while the node's connections are busy, and emits drain when they no longer are", async () => {
  const answers: (() => void)[] = [];
  await using server = await startServer((_, response) => answers.push(() => response.end("ok")));
  await using balancer = startBalancer([server], { connections: { perNode: 1 } });
  const first = new RecordingHandler();
  const second = new RecordingHandler();
  balancer.dispatch(get, first);
  const drained = new Promise<void>((resolve) => balancer.once("drain", () => resolve()));
  expect(balancer.dispatch(get, second)).toBe(false);
  while (answers.length === 0) await sleep(2);
  answers.shift()?.();
  await first.done;
  while (answers.length === 0) await sleep(2);
  answers.shift()?.();
  await second.done;
  await drained;
});

test("passes on connect, disconnect and connectionError", async () => {
  await using server = await startTcpServer((socket) => {
    socket.once("data", () =>
      socket.end("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
    );
  });
  await using balancer = startBalancer([server, await refusingAddress()]);
  const events: string[] = [];
  for (const name of ["connect", "disconnect", "connectionError"] as const) {
    (balancer as EventEmitter).on(name, (_origin: URL, targets: readonly Dispatcher[]) => {
      events.push(name);
      expect(targets[0]).toBe(balancer);
    });
  }
  await (await balancer.request(get)).body.dump();
  while (!events.includes("disconnect")) await sleep(2);
  expect(events).toEqual(["connect", "disconnect"]);
  const [first] = balancer.nodes;
  balancer.drain(first?.address ?? "");
  await balancer.request(get).catch(() => {});
  expect(events).toContain("connectionError");
});

test("a pause holds from before the first attempt on, over retries, until it is taken back", async () => {
  await using bad = await startServer((_, response) => response.writeHead(503).end());
  await using good = await startServer();
  await using balancer = startBalancer([bad, good]);
  const handler = new RecordingHandler({ onRequestStart: (controller) => controller.pause() });
  balancer.dispatch(get, handler);
  while (handler.statusCode === 0) await sleep(5);
  await sleep(50);
  expect(handler.controller?.paused).toBe(true);
  expect(handler.events).not.toContain("data");
  handler.controller?.resume();
  await handler.done;
  expect(handler.body).toBe("ok");
});
