/** Connections that nobody uses, are refused, or are on their way out. */
import { Code } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { connectBalancer } from "../../src/connect/index.ts";
import { Cluster, list, roundRobin } from "../../src/index.ts";
import { createAuthority } from "../support/certificates.ts";
import { until } from "../support/until.ts";
import { connectionsOf } from "./support/connections.ts";
import { startFront } from "./support/front.ts";
import { startRawServer } from "./support/raw-server.ts";
import { startShop } from "./support/servers.ts";
import { ask, told } from "./support/shop.ts";
import { startShopProcess } from "./support/shop-process.ts";
import { protocolNames, protocols } from "./support/transports.ts";

test("a server that takes no further connection is not asked for one over and over", async () => {
  await using narrow = await startShop({ maxConcurrentStreams: 1 });
  await using front = await startFront(narrow.address);
  await using other = await startShop();
  const nodes = list([front.address]);
  await using shop = connectBalancer({ name: "shop", discovery: nodes, retry: { budget: false } });
  const client = protocols.gRPC(shop.transportOptions);
  const holding = new AbortController();
  const held = client.buy(ask({ afterMs: 30_000 }), { signal: holding.signal }).catch(() => {});
  await until("its one stream is taken", () => narrow.counts.inflight === 1, 2_000);
  await front.stopListening();
  nodes.add(other.address);
  // While it was tried again and again, this one waited for the held one to end.
  const answers = await Promise.all(Array.from({ length: 6 }, () => client.buy(ask())));
  expect(answers.map((answer) => told(answer).from)).toEqual(answers.map(() => other.address));
  expect(connectionsOf(shop)).toMatchObject({ open: 1, connecting: 0, waiting: 0 });
  expect(shop.nodes[0]?.failures).toBeGreaterThanOrEqual(1);
  expect(shop.nodes[0]?.failures).toBeLessThanOrEqual(6);
  holding.abort();
  await held;
});

test("a connection is closed once it has rested, though it was last only asked for a sign of life", async () => {
  await using server = await startShopProcess();
  await using shop = connectBalancer({
    name: "shop",
    discovery: [server.address],
    connections: { pingMs: 50, pingTimeoutMs: 10_000, idleMs: 300 },
  });
  const client = protocols.gRPC(shop.transportOptions);
  await client.buy(ask());
  // Waits for the wall clock: the connection has to have been silent for longer than pingMs.
  await new Promise((resolve) => setTimeout(resolve, 100));
  server.signal("SIGSTOP");
  const controller = new AbortController();
  const call = client.buy(ask(), { signal: controller.signal }).catch(() => {});
  await until("it is being asked", () => connectionsOf(shop)?.idle === 0, 2_000);
  // And until idleMs would have been over.
  await new Promise((resolve) => setTimeout(resolve, 400));
  controller.abort();
  await call;
  expect(connectionsOf(shop)?.open).toBe(1);
  server.signal("SIGCONT");
  await until("it is closed", () => connectionsOf(shop)?.open === 0, 5_000);
});

test("a peer that does not close its side of a connection is not waited for", async () => {
  await using server = await startShopProcess();
  await using shop = connectBalancer({
    name: "shop",
    discovery: [server.address],
    connections: { pingTimeoutMs: 100, idleMs: 100 },
  });
  await protocols.gRPC(shop.transportOptions).buy(ask());
  await until("it rests", () => connectionsOf(shop)?.idle === 1, 2_000);
  server.signal("SIGSTOP");
  await until("the connection is gone", () => connectionsOf(shop)?.open === 0, 5_000);
});

test("a connection that its server takes leave of while it rests is closed", async () => {
  await using server = await startShop();
  await using shop = connectBalancer({ name: "shop", discovery: [server.address] });
  const client = protocols.gRPC(shop.transportOptions);
  await client.buy(ask());
  // Nothing more: the server leaves it to the other side to close.
  for (const session of server.sessions) session.goaway(0);
  await until("it is closed", () => connectionsOf(shop)?.open === 0, 5_000);
  await client.buy(ask());
  expect(server.connections).toBe(2);
});

test("a call that its server finishes after taking leave is waited for, however often pings are due", async () => {
  await using server = await startShop();
  const connections = { pingMs: 50, pingTimeoutMs: 100 };
  await using shop = connectBalancer({ name: "shop", discovery: [server.address], connections });
  const client = protocols.gRPC(shop.transportOptions);
  const answered = client.buy(ask({ afterMs: 600 }));
  await until("it has begun", () => server.counts.inflight === 1, 5_000);
  for (const session of server.sessions) session.goaway();
  await answered;
  expect(server.connections).toBe(1);
});

test("certificates that are renewed while a connection is being made begin it anew, once", async () => {
  await using authority = await createAuthority();
  await using front = await startFront();
  await using shop = connectBalancer({
    name: "shop",
    discovery: [front.address.replace("http:", "https:")],
    tls: { ca: authority.ca },
    timeouts: { connectMs: 500 },
    retry: { attempts: 1 },
  });
  const call = protocols
    .gRPC(shop.transportOptions)
    .buy(ask())
    .catch((error: unknown) => error);
  await until("it is being made", () => front.connections === 1, 2_000);
  for (const listener of shop.cluster.tls.listeners) listener();
  expect(connectionsOf(shop)).toMatchObject({ connecting: 1, waiting: 1 });
  expect(String(await call)).toMatch(/connect timeout/);
  expect(front.connections).toBe(2);
});

test("renewed certificates leave connections without TLS alone", async () => {
  await using server = await startShop();
  await using shop = connectBalancer({ name: "shop", discovery: [server.address] });
  const client = protocols.gRPC(shop.transportOptions);
  await client.get(ask());
  for (const listener of shop.cluster.tls.listeners) listener();
  await client.get(ask());
  expect(server.connections).toBe(1);
});

test("a call that was held up until its node had left goes to another one", async () => {
  await using old = await startShop();
  await using young = await startShop();
  const nodes = list([old.address]);
  await using shop = connectBalancer({ name: "shop", discovery: nodes, connections: { drainMs: 50 } });
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  let attempts = 0;
  const client = protocols.gRPC({
    ...shop.transportOptions,
    interceptors: [
      ...shop.transportOptions.interceptors,
      (next) => async (request) => {
        if (++attempts === 1) await held;
        return await next(request);
      },
    ],
  });
  const call = client.buy(ask());
  await until("it is held up", () => attempts === 1, 2_000);
  nodes.set([young.address]);
  await until("its node has left", () => shop.nodes.length === 1, 2_000);
  release();
  expect(told(await call).from).toBe(young.address);
  expect(old.connections).toBe(0);
});

test("calls that wait for a connection are among those that breaker.queued counts", async () => {
  await using narrow = await startShop({ maxConcurrentStreams: 1 });
  await using shop = connectBalancer({
    name: "shop",
    discovery: [narrow.address],
    connections: { perNode: 1 },
    breaker: { queued: 2 },
  });
  const client = protocols.gRPC(shop.transportOptions);
  const first = client.buy(ask({ afterMs: 100 }));
  await until("its one stream is taken", () => narrow.counts.inflight === 1, 2_000);
  const ended = await Promise.allSettled([client.buy(ask()), client.buy(ask()), client.buy(ask())]);
  expect(ended.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
  expect(ended[2]).toMatchObject({
    reason: { cause: { code: "ERR_CIRCUIT_OPEN", message: expect.stringMatching(/2 calls wait/) } },
  });
  await first;
  expect(shop.cluster.waitingForConnection).toBe(0);
});

test("the time that a call waits for others' streams to end is not the node's", async () => {
  await using raw = await startRawServer((stream) => {
    setTimeout(() => {
      stream.respond({ ":status": 200, "content-type": "application/proto" });
      stream.end();
    }, 300);
  });
  await using shop = connectBalancer({
    name: "shop",
    discovery: [raw.address],
    policy: roundRobin(),
    connections: { perNode: 1, maxStreams: 1 },
    timeouts: { attemptMs: 500 },
    retry: { attempts: 1 },
  });
  const client = protocols.Connect(shop.transportOptions);
  // The second one is in line for 300 ms, and takes 300 more.
  await Promise.all([client.buy(ask()), client.buy(ask())]);
  expect(shop.nodes[0]).toMatchObject({ calls: 2, failures: 0 });
  expect(shop.nodes[0]?.latencyMs).toBeLessThan(500);
});

test("connections.total holds over all nodes: what rests makes room, and what is in use is waited for", async () => {
  await using first = await startShop();
  await using second = await startShop();
  await using shop = connectBalancer({
    name: "shop",
    discovery: [first.address, second.address],
    policy: roundRobin(),
    connections: { total: 1, queueMs: 10_000 },
  });
  const client = protocols.gRPC(shop.transportOptions);
  const from: string[] = [];
  const callOnce = async (): Promise<void> => {
    from.push(told(await client.get(ask())).from);
    const sum = (what: "open" | "idle") =>
      [0, 1].reduce((total, index) => total + (connectionsOf(shop, index)?.[what] ?? 0), 0);
    expect(sum("open")).toBe(1);
    await until("its connection rests", () => sum("idle") === 1, 2_000);
  };
  for (let index = 0; index < 6; index++) await callOnce();
  expect(new Set(from)).toEqual(new Set([first.address, second.address]));
  expect(first.connections + second.connections).toBe(6);

  // Both at once: one of them has to wait until the other one's stream is over.
  const both = await Promise.all([client.buy(ask({ afterMs: 100 })), client.buy(ask({ afterMs: 100 }))]);
  expect(new Set(both.map((answer) => told(answer).from)).size).toBe(2);
  expect(shop.nodes.map(({ failures, inflight }) => failures + inflight)).toEqual([0, 0]);
});

test.each(protocolNames)(
  "%s: attempts that a proxy answered with a page of its own leave no place taken",
  async (name) => {
    await using proxy = await startRawServer((stream) => {
      stream.resume();
      stream.respond({ ":status": 503, "content-type": "text/plain" });
      stream.end("no healthy upstream");
    });
    await using shop = connectBalancer({
      name: "shop",
      discovery: [proxy.address],
      connections: { perNode: 1, maxStreams: 2 },
      health: { ejection: false },
      retry: { attempts: 3, backoffMs: 1, budget: false },
    });
    const client = protocols[name](shop.transportOptions);
    for (let index = 0; index < 5; index++) {
      await expect(client.get(ask())).rejects.toMatchObject({ code: Code.Unavailable });
    }
    expect(proxy.streams).toBe(15);
    await until("its connection rests", () => connectionsOf(shop)?.idle === 1, 2_000);
    expect(connectionsOf(shop)).toEqual({ open: 1, idle: 1, connecting: 0, waiting: 0 });
    await until("the proxy is done with them", () => proxy.open === 0, 2_000);
  },
);

test("where connections.total is in use for longer than queueMs, calls go to nodes that have a connection", async () => {
  await using first = await startShop();
  await using second = await startShop();
  await using shop = connectBalancer({
    name: "shop",
    discovery: [first.address, second.address],
    policy: roundRobin(),
    connections: { total: 1, queueMs: 50 },
  });
  const client = protocols.gRPC(shop.transportOptions);
  const controller = new AbortController();
  const held = client.list(ask({ messages: 10_000, afterMs: 10 }), { signal: controller.signal });
  const { from } = told((await held[Symbol.asyncIterator]().next()).value);
  for (let index = 0; index < 3; index++) expect(told(await client.buy(ask())).from).toBe(from);
  expect(shop.nodes.map(({ failures }) => failures)).toEqual([0, 0]);
  controller.abort();
});

test("connections.minPerNode are there before any call, are made again, and outlive idleMs", async () => {
  await using first = await startShop();
  await using second = await startShop();
  const nodes = list([first.address]);
  await using shop = connectBalancer({
    name: "shop",
    discovery: nodes,
    connections: { minPerNode: 2, idleMs: 50 },
  });
  const stand = () => [0, 1].map((index) => connectionsOf(shop, index)?.idle ?? 0);
  await until("two to the first node", () => stand()[0] === 2, 5_000);
  nodes.add(second.address);
  await until("two to the other one", () => stand()[1] === 2, 5_000);
  // Waits for the wall clock: until idleMs are over several times.
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(stand()).toEqual([2, 2]);
  expect([first.connections, second.connections]).toEqual([2, 2]);
  await protocols.gRPC(shop.transportOptions).get(ask());
  for (const session of first.sessions) session.destroy();
  await until("they are made again", () => first.connections === 4 && stand()[0] === 2, 5_000);
  nodes.remove(second.address);
  await until("those of a node that left are closed", () => second.sessions.size === 0, 5_000);
});

test("options that would do nothing are refused, but for those of a cluster that others share", async () => {
  const refused = [
    [{ fallback: () => ({ statusCode: 200 }) }, /^fallback is of no use to connectBalancer/],
    [{ connections: { http2: "auto" } }, /^connections\.http2 is of no use to connectBalancer/],
    [{ connections: { factory: () => undefined } }, /^connections\.factory is of no use to connectBalancer/],
  ] as const;
  for (const [options, message] of refused) {
    const given = { name: "shop", discovery: [], ...options } as Parameters<typeof connectBalancer>[0];
    expect(() => connectBalancer(given)).toThrow(message);
    expect(() => connectBalancer(given)).toThrow(TypeError);
  }
  await using cluster = new Cluster({ name: "shop", discovery: [], connections: { http2: "never" } });
  await using _ = connectBalancer(cluster);
});
