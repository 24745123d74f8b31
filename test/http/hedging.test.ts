/** Hedging over real connections: the second attempt wins, the first one's request is cancelled. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { createServer as createHttp2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import type { AttemptEndEvent } from "../../src/core/events.ts";
import { until } from "../support/until.ts";
import { expectIdle, startBalancer } from "./support/balancers.ts";
import { RecordingHandler } from "./support/recording-handler.ts";
import { startServer } from "./support/server.ts";

const get = { path: "/x", method: "GET" } as const;

test("a hanging node costs the delay, and its request is cancelled", async () => {
  await using hanging = await startServer(() => {});
  await using quick = await startServer();
  await using balancer = startBalancer([hanging, quick], { hedge: { afterMs: 30 } });
  const { body } = await balancer.request(get);
  expect(await body.text()).toBe("ok");
  expect([hanging.arrivals.length, quick.arrivals.length]).toEqual([1, 1]);
  await until("the first request's connection is closed", () => hanging.open.size === 0, 2_000);
  await expectIdle(balancer);
  expect(balancer.nodes.map(({ failures }) => failures)).toEqual([0, 0]);
});

test("the first attempt may win, and the second one is cancelled", async () => {
  await using slow = await startServer((_, response) => setTimeout(() => response.end("first"), 120));
  await using hanging = await startServer(() => {});
  await using balancer = startBalancer([slow, hanging], { hedge: { afterMs: 30 } });
  const { body } = await balancer.request(get);
  expect(await body.text()).toBe("first");
  await until("the second request's connection is closed", () => hanging.open.size === 0, 2_000);
  expect(hanging.arrivals).toHaveLength(1);
  await expectIdle(balancer);
});

test("a second attempt that fails is no failure of the call", async () => {
  await using slow = await startServer((_, response) => setTimeout(() => response.end("first"), 150));
  await using bad = await startServer((_, response) => response.writeHead(503).end());
  await using cutting = await startServer((_, response) => response.destroy());
  for (const second of [bad, cutting]) {
    await using balancer = startBalancer([slow, second], { hedge: { afterMs: 30 } });
    const { statusCode, body } = await balancer.request(get);
    expect([statusCode, await body.text()]).toEqual([200, "first"]);
    expect(second.arrivals).toHaveLength(1);
    await expectIdle(balancer);
  }
});

test("a body that can be sent again is sent twice, one that cannot is not", async () => {
  await using hanging = await startServer(() => {});
  await using quick = await startServer((_, response, { body }) => body.then((sent) => response.end(sent)));
  await using balancer = startBalancer([hanging, quick], {
    hedge: { afterMs: 30 },
    timeouts: { attemptMs: 300 },
  });
  const put = { path: "/x", method: "PUT" } as const;
  const { body } = await balancer.request({ ...put, body: "again" });
  expect(await body.text()).toBe("again");
  expect(hanging.arrivals).toHaveLength(1);
  async function* once() {
    yield "once";
  }
  const streamed = await balancer.request({ ...put, body: once() as never });
  expect(await streamed.body.text()).toBe("once");
  // It was not hedged: it waited for its first attempt's time to be over.
  expect(balancer.nodes[0]?.failures).toBe(1);
});

test("the caller's abort cancels both", async () => {
  await using first = await startServer(() => {});
  await using second = await startServer(() => {});
  await using balancer = startBalancer([first, second], { hedge: { afterMs: 30 } });
  const controller = new AbortController();
  const call = balancer.request({ ...get, signal: controller.signal });
  await until("both were asked", () => first.arrivals.length + second.arrivals.length === 2, 2_000);
  controller.abort();
  await expect(call).rejects.toThrow();
  await until("both connections are closed", () => first.open.size + second.open.size === 0, 2_000);
  await expectIdle(balancer);
});

test("a listener that gives the call up as it is answered: the handler hears of the abort, and of nothing after it", async () => {
  await using hanging = await startServer(() => {});
  await using quick = await startServer();
  await using balancer = startBalancer([hanging, quick], { hedge: { afterMs: 30 } });
  const handler = new RecordingHandler();
  const abort = (event: unknown) => {
    if ((event as AttemptEndEvent).reason === "hedged") handler.controller?.abort(new Error("enough"));
  };
  subscribe("evenkeel:attempt:end", abort);
  try {
    balancer.dispatch(get, handler);
    await handler.done;
    await until("both connections are closed", () => hanging.open.size + quick.open.size === 0, 2_000);
  } finally {
    unsubscribe("evenkeel:attempt:end", abort);
  }
  expect(handler.events.filter((event) => event !== "sent")).toEqual(["start", "error"]);
  await expectIdle(balancer);
});

test("a failure that need not be tried again ends both attempts, and is held against its own node only", async () => {
  await using hanging = await startServer(() => {});
  await using failing = await startServer((_, response) =>
    response.writeHead(503, { "evenkeel-retry": "no" }).end(),
  );
  const fallback = { body: "instead" };
  await using balancer = startBalancer([hanging, failing], { hedge: { afterMs: 30 }, fallback });
  expect(await (await balancer.request(get)).body.text()).toBe("instead");
  expect(balancer.nodes.map(({ failures }) => failures)).toEqual([0, 1]);
  await expectIdle(balancer);
});

test("over HTTP/2 the loser's stream is reset, and its connection goes on", async () => {
  const sessions = new Set<unknown>();
  let resets = 0;
  const hanging = createHttp2Server();
  hanging.on("session", (session) => sessions.add(session));
  hanging.on("stream", (stream) => {
    stream.once("error", () => {});
    stream.once("aborted", () => resets++);
  });
  const quick = createHttp2Server((_, response) => response.end("ok"));
  for (const server of [hanging, quick]) await once(server.listen(0, "127.0.0.1"), "listening");
  const addresses = [hanging, quick].map(
    (server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  );
  try {
    await using balancer = startBalancer(addresses, {
      connections: { http2: "prior-knowledge" },
      hedge: { afterMs: 30 },
    });
    for (let index = 1; index <= 3; index++) {
      expect(await (await balancer.request(get)).body.text()).toBe("ok");
      await until("the first attempt's stream was reset", () => resets === index, 2_000);
    }
    expect(sessions.size).toBe(1);
    await expectIdle(balancer);
  } finally {
    hanging.close();
    quick.close();
  }
});

test("a view's calls are hedged as it says: one that may be sent once is not", async () => {
  await using slow = await startServer((_, response) => setTimeout(() => response.end("slow"), 150));
  await using quick = await startServer();
  await using balancer = startBalancer([slow, quick], { hedge: { afterMs: 30 } });
  const view = balancer.with({ retry: false });
  expect(await (await view.request(get)).body.text()).toBe("slow");
  const post = { path: "/x", method: "POST" } as const;
  expect(await (await balancer.request(post)).body.text()).toBe("slow");
  expect(quick.arrivals).toHaveLength(0);
  expect(await (await balancer.with({ idempotent: true }).request(post)).body.text()).toBe("ok");
});

test("from its headers on the winner is the call: its headers are read, and it is paused and aborted", async () => {
  await using hanging = await startServer(() => {});
  await using quick = await startServer((_, response) => {
    response.writeHead(200, { "x-from": "quick" });
    response.write("part");
  });
  await using balancer = startBalancer([hanging, quick], { hedge: { afterMs: 30 } });
  expect((await balancer.fetch("/x")).headers.get("x-from")).toBe("quick");
  const handler = new RecordingHandler({ onResponseStart: (controller) => controller.pause() });
  balancer.dispatch(get, handler);
  await until("the headers are here", () => handler.statusCode === 200, 2_000);
  await until("the loser's connection is closed", () => hanging.open.size === 0, 2_000);
  expect(handler.events.at(-1)).toBe("status 200");
  handler.controller?.resume();
  await until("the body begins", () => handler.body === "part", 2_000);
  const open = quick.open.size;
  handler.controller?.abort(new Error("enough"));
  await until("the winner's connection is closed", () => quick.open.size < open, 2_000);
});
