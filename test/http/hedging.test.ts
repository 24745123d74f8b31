/** Hedging over real connections: the second attempt wins, the first one's request is cancelled. */
import { expect, test } from "vitest";
import { until } from "../support/until.ts";
import { expectIdle, startBalancer } from "./support/balancers.ts";
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
