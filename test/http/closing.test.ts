/** The end of a Balancer: close waits and refuses, destroy fails what runs, and both can be called again. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { Balancer, Cluster } from "../../src/index.ts";
import { until } from "../support/until.ts";
import { inOrder, rejection, startBalancer } from "./support/balancers.ts";
import { RecordingHandler } from "./support/recording-handler.ts";
import { refusingAddress, startServer } from "./support/server.ts";

const get = { path: "/", method: "GET" } as const;
const reason = new Error("shutting down");

test("close waits for calls under way, and refuses new ones with ERR_CLOSED", async () => {
  await using server = await startServer((_, response) => {
    response.write("slow ");
    setTimeout(() => response.end("end"), 100);
  });
  await using balancer = startBalancer([server]);
  const running = balancer.request(get).then(({ body }) => body.text());
  await until("arrival", () => server.arrivals.length === 1, 2_000);
  let closed = false;
  const closing = balancer.close().then(() => {
    closed = true;
  });
  expect(balancer.closed).toBe(true);
  const handler = new RecordingHandler();
  expect(balancer.dispatch(get, handler)).toBe(false);
  expect(handler.error).toMatchObject({ name: "BalancerError", code: "ERR_CLOSED", service: "orders" });
  expect(handler.events).toEqual(["error"]);
  expect(await rejection(balancer.request(get))).toMatchObject({ code: "ERR_CLOSED" });
  expect((await rejection(balancer.fetch("/"))).cause).toMatchObject({ code: "ERR_CLOSED" });
  expect(closed).toBe(false);
  expect(await running).toBe("slow end");
  await closing;
  await until("the connections are closed", () => server.open.size === 0, 1_000);
  expect(server.arrivals).toHaveLength(1);
});

test("close lets a call under way go on to another node", async () => {
  await using bad = await startServer((_, response) => setTimeout(() => response.writeHead(503).end(), 50));
  await using good = await startServer();
  await using balancer = startBalancer([bad, good]);
  const running = balancer.request(get).then(({ body }) => body.text());
  await until("arrival", () => bad.arrivals.length === 1, 2_000);
  await Promise.all([balancer.close(), running]);
  expect(await running).toBe("ok");
});

test("close can be called again, in every form, before and after its end", async () => {
  await using server = await startServer();
  const balancer = startBalancer([server]);
  await (await balancer.request(get)).body.text();
  const byCallback = (): Promise<void> =>
    new Promise((resolve) => {
      expect(balancer.close(() => resolve())).toBeUndefined();
    });
  await Promise.all([balancer.close(), byCallback(), byCallback(), balancer.close()]);
  await byCallback();
  await balancer.close();
  await balancer.destroy();
  expect(() => balancer.close(5 as unknown as () => void)).toThrow(TypeError);
});

test("await using closes", async () => {
  await using server = await startServer();
  let kept: Balancer;
  {
    await using balancer = new Balancer({ name: "orders", discovery: [server.address] });
    await (await balancer.request(get)).body.text();
    kept = balancer;
  }
  expect(kept.closed).toBe(true);
  await until("the connections are closed", () => server.open.size === 0, 1_000);
});

test.each<[string, (balancer: Balancer) => Promise<void>]>([
  ["as a promise", (balancer) => balancer.destroy(reason)],
  ["with a callback", (balancer) => new Promise((resolve) => balancer.destroy(reason, () => resolve()))],
])("destroy, %s, fails what runs with its error, at every stage", async (_, destroy) => {
  await using server = await startServer((request, response) => {
    if (request.url === "/body") response.write("begun");
    else if (request.url === "/backoff") response.writeHead(503, { "retry-after": "5" }).end();
  });
  await using balancer = startBalancer([server], { connections: { perNode: 3 } });
  const { body } = await balancer.request({ path: "/body", method: "GET" });
  const failing = [
    rejection(body.text()),
    ...["/headers", "/backoff", "/headers", "/queued"].map((path) =>
      rejection(balancer.request({ path, method: "GET" })),
    ),
  ];
  await until("arrivals", () => server.arrivals.length >= 4, 2_000);
  await sleep(30);
  await destroy(balancer);
  for (const error of await Promise.all(failing)) expect(error).toBe(reason);
  expect([balancer.closed, balancer.destroyed]).toEqual([true, true]);
  expect(balancer.nodes.map(({ inflight, failures }) => ({ inflight, failures }))).toEqual([
    { inflight: 0, failures: expect.any(Number) },
  ]);
  await until("the connections are closed", () => server.open.size === 0, 1_000);
  expect(await rejection(balancer.request(get))).toMatchObject({ code: "ERR_CLOSED" });
});

test("destroy without an error fails what runs with ERR_CLOSED, ends a close, and can be called again", async () => {
  await using server = await startServer(() => {});
  const balancer = startBalancer([server]);
  const failing = rejection(balancer.request(get));
  await until("arrival", () => server.arrivals.length === 1, 2_000);
  const closing = balancer.close();
  await new Promise<void>((resolve) => balancer.destroy(() => resolve()));
  expect(await failing).toMatchObject({ code: "ERR_CLOSED" });
  await closing;
  await balancer.destroy();
  await balancer.destroy(reason);
  await new Promise<void>((resolve) => balancer.destroy(null, () => resolve()));
});

test("destroy ends calls of its cluster that have no transport", async () => {
  const balancer = startBalancer([await refusingAddress()]);
  const failing = rejection(balancer.cluster.call(() => new Promise(() => {})));
  await balancer.destroy(reason);
  expect(await failing).toBe(reason);
});

test("a name that is refused leaves no discovery running", () => {
  const watched: AbortSignal[] = [];
  const discovery = {
    async *watch({ signal }: { signal: AbortSignal }): AsyncGenerator<never> {
      watched.push(signal);
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    },
  };
  expect(() => new Balancer({ name: "a/b", discovery })).toThrow(/name must be usable/);
  expect(watched.filter(({ aborted }) => !aborted)).toEqual([]);
});

test("a shared cluster stays open, and its balancers share what they know", async () => {
  await using bad = await startServer((_, response) => response.writeHead(500).end());
  await using good = await startServer();
  await using cluster = new Cluster({
    name: "orders",
    discovery: [bad.address, good.address],
    policy: inOrder(),
    health: { ejection: { consecutiveFailures: 2 } },
  });
  const one = new Balancer(cluster);
  const two = new Balancer(cluster);
  const status = async (balancer: Balancer): Promise<number> => {
    const { statusCode, body } = await balancer.request(get);
    await body.dump();
    return statusCode;
  };
  expect([await status(one), await status(two)]).toEqual([500, 500]);
  // Ejected by one failure of each.
  expect([await status(one), await status(two)]).toEqual([200, 200]);
  expect(one.nodes[0]?.state).toBe("ejected");
  const calls = ({ nodes }: Balancer): unknown =>
    nodes.map(({ address, calls, state }) => [address, calls, state]);
  expect(calls(two)).toEqual(calls(one));
  await one.close();
  expect(cluster.closed).toBe(false);
  expect(await status(two)).toBe(200);
  expect(await rejection(one.request(get))).toMatchObject({ code: "ERR_CLOSED" });
  const three = new Balancer(cluster);
  expect(await status(three)).toBe(200);
  await three.destroy();
  expect(await status(two)).toBe(200);
  await two.close();
});

test("destroy of one balancer leaves the calls of another on the same cluster alone", async () => {
  await using server = await startServer((_, response) => setTimeout(() => response.end("ok"), 100));
  await using cluster = new Cluster({ name: "orders", discovery: [server.address] });
  const one = new Balancer(cluster);
  await using two = new Balancer(cluster);
  const failing = rejection(one.request(get));
  const running = two.request(get).then(({ body }) => body.text());
  await until("arrivals", () => server.arrivals.length === 2, 2_000);
  await one.destroy(reason);
  expect(await failing).toBe(reason);
  expect(await running).toBe("ok");
});
