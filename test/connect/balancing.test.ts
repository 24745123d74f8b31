/** Where calls go as nodes come and go, and what becomes of their connections. */
import { execFile } from "node:child_process";
import { constants } from "node:http2";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { expect, test } from "vitest";
import { connectBalancer } from "../../src/connect/index.ts";
import { Balancer, Cluster, leastCost, leastRequest, list, roundRobin } from "../../src/index.ts";
import { createAuthority } from "../support/certificates.ts";
import { until } from "../support/until.ts";
import { startRawServer } from "./support/raw-server.ts";
import { type ShopServer, startShop } from "./support/servers.ts";
import { ask, Shop, told } from "./support/shop.ts";
import { protocols } from "./support/transports.ts";

async function startShops(count: number): Promise<AsyncDisposableStack & { readonly servers: ShopServer[] }> {
  const stack = new AsyncDisposableStack();
  const servers = await Promise.all(Array.from({ length: count }, () => startShop()));
  for (const server of servers) stack.use(server);
  return Object.assign(stack, { servers });
}

// A full round is even to one call; a choice of two by cost spreads by chance, and 15% is its tolerance.
test.each([
  { policy: leastRequest({ choices: 3 }), within: 5 },
  { policy: leastCost(), within: 15 },
])("300 calls in one tick are reserved as they are picked: $policy.name", async ({ policy, within }) => {
  await using shops = await startShops(3);
  const discovery = shops.servers.map(({ address }) => address);
  await using shop = connectBalancer({ name: "shop", discovery, policy });
  const client = protocols.gRPC(shop.transportOptions);
  await Promise.all(Array.from({ length: 300 }, () => client.get(ask({ afterMs: 50 }))));
  for (const { counts } of shops.servers) {
    expect(counts.started).toBeGreaterThanOrEqual(100 - within);
    expect(counts.started).toBeLessThanOrEqual(100 + within);
  }
  // 100 streams to a connection.
  for (const { connections } of shops.servers) expect(connections).toBeLessThanOrEqual(2);
});

test("one connection carries all calls that a node takes at once, and calls wait where it takes fewer", async () => {
  await using narrow = await startShop({ maxConcurrentStreams: 4 });
  await using shop = connectBalancer({
    name: "shop",
    discovery: [narrow.address],
    connections: { perNode: 2 },
  });
  const client = protocols.gRPC(shop.transportOptions);
  await Promise.all(Array.from({ length: 40 }, () => client.buy(ask({ afterMs: 5 }))));
  expect(narrow.counts.started).toBe(40);
  expect(narrow.counts.most).toBeLessThanOrEqual(8);
  expect(narrow.connections).toBeLessThanOrEqual(2);
});

test("a new node gets calls, and a removed one finishes its streams and gets none", async () => {
  await using shops = await startShops(2);
  const [old, young] = shops.servers as [ShopServer, ShopServer];
  const nodes = list([old.address]);
  await using shop = connectBalancer({ name: "shop", discovery: nodes, policy: roundRobin() });
  const client = protocols.gRPC(shop.transportOptions);
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const talk = client.talk(
    (async function* () {
      yield ask();
      await held;
      yield ask();
    })(),
  );
  const answers = talk[Symbol.asyncIterator]();
  expect(told((await answers.next()).value).from).toBe(old.address);

  nodes.add(young.address);
  const from = new Set<string>();
  for (let index = 0; index < 8; index++) from.add(told(await client.get(ask())).from);
  expect(from).toEqual(new Set([old.address, young.address]));

  nodes.remove(old.address);
  const before = old.counts.started;
  for (let index = 0; index < 8; index++) expect(told(await client.get(ask())).from).toBe(young.address);
  expect(old.counts.started).toBe(before);
  expect(shop.nodes.find(({ address }) => address === old.address)?.state).toBe("draining");
  release();
  expect(told((await answers.next()).value)).toMatchObject({ from: old.address, heard: 2 });
  expect((await answers.next()).done).toBe(true);
  await until("the removed node is gone", () => shop.nodes.length === 1, 2_000);
  await until("its connection is closed", () => old.sessions.size === 0, 2_000);
});

test("streams at a removed node are cut when drainMs are over, and held against nobody", async () => {
  await using shops = await startShops(2);
  const [old, young] = shops.servers as [ShopServer, ShopServer];
  const nodes = list([old.address]);
  await using shop = connectBalancer({ name: "shop", discovery: nodes, connections: { drainMs: 100 } });
  const client = protocols.gRPC(shop.transportOptions);
  const answers = client.list(ask({ messages: 1_000, afterMs: 20 }))[Symbol.asyncIterator]();
  await answers.next();
  nodes.set([young.address]);
  const read = async (): Promise<void> => {
    while ((await answers.next()).done !== true);
  };
  await expect(read()).rejects.toThrow(/was removed, and drainMs are over/);
  expect(shop.nodes).toHaveLength(1);
  await until("the node knows", () => old.counts.inflight === 0, 2_000);
});

test("a node that the program drains gets no calls until it is undrained", async () => {
  await using shops = await startShops(2);
  const [first, second] = shops.servers as [ShopServer, ShopServer];
  await using shop = connectBalancer({
    name: "shop",
    discovery: [first.address.replace("http:", "grpc:"), second.address],
    policy: roundRobin(),
  });
  const client = protocols.Connect(shop.transportOptions);
  expect(shop.drain(first.address.replace("http:", "grpc:"))).toBe(true);
  for (let index = 0; index < 4; index++) expect(told(await client.get(ask())).from).toBe(second.address);
  expect(String(shop.explain())).toMatch(/draining/);
  expect(shop.undrain(first.address)).toBe(true);
  for (let index = 0; index < 4; index++) await client.get(ask());
  expect(first.counts.started).toBe(2);
});

test("closing waits for calls and streams, and refuses new ones", async () => {
  await using server = await startShop();
  const shop = connectBalancer({ name: "shop", discovery: [server.address] });
  const client = protocols.gRPC(shop.transportOptions);
  const call = client.get(ask({ afterMs: 200 }));
  const stream = client.list(ask({ messages: 5, afterMs: 50 }))[Symbol.asyncIterator]();
  await stream.next();
  const closed = shop.close();
  await expect(client.get(ask())).rejects.toThrow(/shop: the balancer is closed/);
  expect(told(await call).from).toBe(server.address);
  let messages = 1;
  while ((await stream.next()).done !== true) messages++;
  expect(messages).toBe(5);
  await closed;
  await until("its connections are closed", () => server.sessions.size === 0, 2_000);
});

test("over TLS the certificate must carry the service's name, whatever the address", async () => {
  await using authority = await createAuthority();
  const tls = await authority.issue({ names: ["shop"] });
  const wrong = await authority.issue({ names: ["other"] });
  await using server = await startShop({ tls });
  await using impostor = await startShop({ tls: wrong });
  await using shop = connectBalancer({
    name: "shop",
    discovery: [server.address, impostor.address],
    policy: roundRobin(),
    tls: { ca: authority.ca },
  });
  for (const name of ["gRPC", "Connect"] as const) {
    const client = protocols[name](shop.transportOptions);
    for (let index = 0; index < 3; index++) expect(told(await client.buy(ask())).from).toBe(server.address);
  }
  expect(impostor.counts.started).toBe(0);
  expect(server.authorities).toEqual(new Set(["shop"]));
  expect(shop.nodes.find(({ address }) => address === impostor.address)?.reason).toMatch(
    /ERR_TLS_CERT_ALTNAME_INVALID/,
  );
});

test("one cluster serves connect-node over HTTP/2 and, by fetch, connect-web", async () => {
  await using shops = await startShops(2);
  const discovery = shops.servers.map(({ address }) => address);
  const connections = { http2: "prior-knowledge" } as const;
  const cluster = new Cluster({ name: "shop", discovery, policy: roundRobin(), connections });
  const shop = connectBalancer(cluster);
  const balancer = new Balancer(cluster);
  const { baseUrl } = shop;
  const client = protocols.gRPC(shop.transportOptions);
  const web = createClient(Shop, createConnectTransport({ baseUrl, fetch: balancer.fetch }));
  for (let index = 0; index < 4; index++) {
    await client.get(ask());
    await web.get(ask());
    for await (const message of web.list(ask({ messages: 2 })))
      expect(told(message).bytes).toBeGreaterThan(0);
  }
  expect(cluster.nodes.map(({ calls }) => calls)).toEqual([6, 6]);
  await shop.close();
  expect(cluster.closed).toBe(false);
  await web.get(ask());
  await balancer.close();
  await cluster.close();
});

test("a connection that nobody uses is closed after idleMs, and keeps no process alive", async () => {
  await using server = await startShop();
  const program = fileURLToPath(new URL("programs/idle.ts", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [program, server.address], {
    timeout: 20_000,
  });
  expect(stdout).toBe("left open\n");
  await using shop = connectBalancer({
    name: "shop",
    discovery: [server.address],
    connections: { idleMs: 50 },
  });
  const client = protocols.Connect(shop.transportOptions);
  await client.get(ask());
  await until("its connection is closed", () => server.sessions.size === 0, 5_000);
  await client.get(ask());
  expect(server.connections).toBe(3);
});

test("a server that demands calm is no bad node, and its calls go on over a new connection", async () => {
  const calm = await startRawServer((stream) => {
    stream.respond({ ":status": 200, "content-type": "application/proto" });
    stream.end();
    const { session, id } = stream;
    setTimeout(() => session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, id), 20);
  });
  await using _ = calm;
  await using shop = connectBalancer({ name: "shop", discovery: [calm.address] });
  const { connectionCounters, nodeSet } = shop.cluster;
  const open = () => {
    const [count] = connectionCounters;
    const [node] = nodeSet.nodes.values();
    return node === undefined ? undefined : count?.(node)?.open;
  };
  const client = protocols.Connect(shop.transportOptions);
  for (let index = 1; index <= 3; index++) {
    await client.buy(ask());
    expect(calm.sessions).toHaveLength(index);
    await until("its connection is gone", () => open() === 0, 2_000);
  }
  expect(shop.nodes[0]).toMatchObject({ calls: 3, failures: 0, state: "ready" });
});

test("connections replace each other after maxAgeMs", async () => {
  await using server = await startShop();
  await using shop = connectBalancer({
    name: "shop",
    discovery: [server.address],
    connections: { maxAgeMs: 100 },
  });
  const client = protocols.gRPC(shop.transportOptions);
  const stream = client.list(ask({ messages: 40, afterMs: 10 }))[Symbol.asyncIterator]();
  await stream.next();
  await until(
    "another connection is made",
    () => {
      void client.get(ask());
      return server.connections === 2;
    },
    5_000,
  );
  let messages = 1;
  while ((await stream.next()).done !== true) messages++;
  expect(messages).toBe(40);
});

test("renewed certificates are used by connections from then on", async () => {
  await using authority = await createAuthority();
  const tls = await authority.issue({ names: ["shop"] });
  await using server = await startShop({ tls });
  await using shop = connectBalancer({
    name: "shop",
    discovery: [server.address],
    tls: { ca: authority.ca },
  });
  const client = protocols.gRPC(shop.transportOptions);
  await client.get(ask());
  for (const listener of shop.cluster.tls.listeners) listener();
  await client.get(ask());
  expect(server.connections).toBe(2);
  await until("the old one is closed", () => server.sessions.size === 1, 2_000);
});

test.each(["a/b", "user@shop", "a b", "shop?x"])("the name %j is refused, as it cannot be a host", (name) => {
  expect(() => connectBalancer({ name, discovery: [] })).toThrow(/name must be usable as the host of a URL/);
});

test("a header of a caller of ours that looks like the interceptor's is taken off and means nothing", async () => {
  await using server = await startShop();
  await using shop = connectBalancer({ name: "shop", discovery: [server.address] });
  const client = protocols.gRPC(shop.transportOptions);
  const seen: unknown[] = [];
  server.http2.on("request", (request) => seen.push(request.headers["evenkeel-attempt"]));
  const headers = { "evenkeel-attempt": "1" };
  await client.get(ask(), { headers });
  for await (const message of client.list(ask(), { headers }))
    expect(told(message).from).toBe(server.address);
  expect(seen).toEqual([undefined, undefined]);
});
