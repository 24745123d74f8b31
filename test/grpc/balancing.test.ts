/** Balancing inside the channel: the spread of calls, changes of the set, drains, and channels that share a cluster. */
import { credentials, Metadata, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { grpcBalancer, grpcCheck, grpcPolicy } from "../../src/grpc/index.ts";
import { Cluster, leastCost, leastRequest, list, ringHash, roundRobin, subset } from "../../src/index.ts";
import { ms, printFigure } from "../support/figure.ts";
import { percentile } from "../support/percentile.ts";
import { balance, eventually, inTurn, OrdersClient, tally } from "./support/clients.ts";
import { startServer, startServers, type TestServer } from "./support/servers.ts";

test("300 calls in one tick on a new channel are spread evenly", async () => {
  await using servers = await startServers(3);
  const addresses = servers.map(({ address }) => address);
  for (const { policy, within } of [
    { policy: leastRequest(), within: 0.05 },
    { policy: leastCost(), within: 0.15 },
  ]) {
    await using balanced = balance(addresses, { policy });
    for (let round = 0; round < 2; round++) {
      const answers = await Promise.all(Array.from({ length: 300 }, () => balanced.client.get()));
      const counts = tally(answers);
      for (const { port } of servers) {
        expect(Math.abs((counts.get(port) ?? 0) - 100), `${policy.name}, round ${round}`).toBeLessThanOrEqual(
          100 * within,
        );
      }
      expect(balanced.balancer.nodes.map(({ inflight }) => inflight)).toEqual([0, 0, 0]);
    }
  }
});

test("addresses are taken as host:port, http:// and grpc:// alike", async () => {
  await using servers = await startServers(3);
  const [one, two, three] = servers.map(({ address }) => address);
  const nodes = list([`${one}`, `grpc://${two}`, { address: `http://${three}`, weight: 1 }]);
  await using balanced = balance(nodes, { policy: roundRobin() });
  expect(tally(await inTurn(6, () => balanced.client.get()))).toEqual(
    new Map(servers.map(({ port }) => [port, 2])),
  );
  expect(balanced.balancer.drain(`grpc://${one}`)).toBe(true);
  expect(nodes.remove(`grpc://${two}`)).toBe(true);
  expect(tally(await inTurn(4, () => balanced.client.get()))).toEqual(new Map([[servers[2]?.port, 4]]));
});

test("a node that discovery names gets calls, one that it removes gets none, without a call failing", async () => {
  await using servers = await startServers(3);
  const [one, two, three] = servers.map(({ address }) => address) as [string, string, string];
  const nodes = list([one]);
  await using balanced = balance(nodes, { policy: roundRobin() });
  await balanced.client.get();
  let running = true;
  const caller = async (): Promise<void> => {
    while (running) await balanced.client.get();
  };
  const callers = Array.from({ length: 8 }, caller);
  nodes.set([one, two, three]);
  await eventually("all three are called", () => servers.every(({ gets }) => gets > 50));
  nodes.set([two, three]);
  await balanced.client.get();
  const before = servers[0]?.gets ?? 0;
  await eventually("the others go on", () => (servers[1]?.gets ?? 0) > 500);
  running = false;
  await Promise.all(callers);
  // What had been picked before the change may still have been on its way.
  expect((servers[0]?.gets ?? 0) - before).toBeLessThanOrEqual(8);
});

test("a drained node gets no new calls, and a stream on it goes on", async () => {
  await using servers = await startServers(2, {
    chat: (call) => {
      call.on("data", (bytes: Buffer) => call.write(bytes));
      call.on("end", () => call.end());
    },
  });
  await using balanced = balance(
    servers.map(({ address }) => address),
    { policy: roundRobin() },
  );
  await inTurn(2, () => balanced.client.get());
  const stream = balanced.client.makeBidiStreamRequest(
    "/shop.Orders/Chat",
    (bytes: Buffer) => bytes,
    (bytes: Buffer) => bytes,
  );
  const echoed: string[] = [];
  stream.on("data", (bytes: Buffer) => echoed.push(String(bytes)));
  stream.write(Buffer.from("a"));
  await eventually("one echo", () => echoed.length === 1);
  const busy = balanced.balancer.nodes.find(({ inflight }) => inflight === 1);
  expect(balanced.balancer.drain(String(busy?.address))).toBe(true);
  const other = servers.find(({ address }) => busy?.address !== `http://${address}`);
  expect(tally(await inTurn(4, () => balanced.client.get()))).toEqual(new Map([[other?.port, 4]]));
  stream.write(Buffer.from("b"));
  await eventually("two echoes", () => echoed.length === 2);
  expect(balanced.balancer.nodes.map(({ state }) => state).sort()).toEqual(["draining", "ready"]);
  stream.end();
  await eventually("the stream has ended", () =>
    balanced.balancer.nodes.every(({ inflight }) => inflight === 0),
  );
  balanced.balancer.undrain(String(busy?.address));
  await eventually(
    "both are called",
    async () => tally(await inTurn(4, () => balanced.client.get())).size === 2,
  );
});

test("hash policies see the path and the metadata of a call", async () => {
  await using servers = await startServers(4);
  const addresses = servers.map(({ address }) => address);
  await using byUser = balance(addresses, { policy: ringHash({ key: { header: "x-user" } }) });
  const call = (user: string) => {
    const metadata = new Metadata();
    metadata.set("x-user", user);
    return byUser.client.get({}, metadata);
  };
  const users = Array.from({ length: 20 }, (_, index) => `user ${index}`);
  const first = await Promise.all(users.map(call));
  expect(new Set(first).size).toBeGreaterThan(1);
  expect(await Promise.all(users.map(call))).toEqual(first);

  const paths: string[] = [];
  await using byPath = balance(addresses, {
    policy: ringHash({
      key: (info) => {
        paths.push(info.path);
        return info.path;
      },
    }),
  });
  expect(tally(await inTurn(5, () => byPath.client.get())).size).toBe(1);
  expect(new Set(paths)).toEqual(new Set(["/shop.Orders/Get"]));
});

test("channels of one service share its nodes' state and their connections, and outlive each other", async () => {
  await using servers = await startServers(2);
  const sessions = () => servers.reduce((sum, server) => sum + server.sessions, 0);
  await using balanced = balance(
    servers.map(({ address }) => address),
    { policy: roundRobin() },
  );
  const other = balanced.connect();
  await inTurn(4, () => balanced.client.get());
  await inTurn(4, () => other.get());
  expect(balanced.balancer.nodes.map(({ calls }) => calls)).toEqual([4, 4]);
  expect(sessions()).toBe(2);
  balanced.client.close();
  await inTurn(2, () => other.get());
  expect(balanced.balancer.nodes.map(({ calls }) => calls)).toEqual([5, 5]);
});

test("a channel that went idle finds the nodes' state again", async () => {
  await using servers = await startServers(2);
  await using balanced = balance(
    servers.map(({ address }) => address),
    { policy: roundRobin() },
    { "grpc.client_idle_timeout_ms": 1_000 },
  );
  await inTurn(4, () => balanced.client.get());
  const channel = balanced.client.getChannel();
  // The shortest idle timeout that grpc-js takes is a second.
  await eventually("the channel is idle", () => channel.getConnectivityState(false) === 0, 5_000);
  await inTurn(4, () => balanced.client.get());
  expect(balanced.balancer.nodes.map(({ calls }) => calls)).toEqual([4, 4]);
});

test("one cluster serves HTTP and gRPC, and is left open by the balancer over it", async () => {
  await using server = await startServer();
  await using cluster = new Cluster({ name: "both", discovery: [server.address] });
  const balancer = grpcBalancer(cluster);
  using client = new OrdersClient(balancer.target, credentials.createInsecure(), balancer.channelOptions);
  expect(await client.get()).toBe(server.port);
  expect(cluster.nodes[0]?.calls).toBe(1);
  expect(await cluster.call(({ node }) => node.key)).toBe(`http://${server.address}`);
  await balancer.close();
  expect(cluster.closed).toBe(false);
  // The channel is told in the next tick.
  await new Promise(setImmediate);
  // One that waits for ready would do so for good.
  for (const waitForReady of [false, true]) {
    await expect(client.get({}, new Metadata({ waitForReady }))).rejects.toMatchObject({
      code: status.UNAVAILABLE,
      details: "both: no balancer of this name is open in this process",
    });
  }
});

test("close waits for calls under way, and then calls fail", async () => {
  let answer = (): void => {};
  await using server = await startServer({
    get: (_call, callback) => {
      answer = () => callback(null, Buffer.from("1"));
    },
  });
  await using balanced = balance([server.address]);
  const call = balanced.client.get();
  await eventually("the call is there", () => server.gets === 1);
  let closed = false;
  const closing = balanced.balancer.close().then(() => {
    closed = true;
  });
  await expect(balanced.client.get()).rejects.toMatchObject({
    code: status.UNAVAILABLE,
    details: expect.stringContaining("the balancer is closed"),
  });
  expect(closed).toBe(false);
  answer();
  expect(await call).toBe(1);
  await closing;
});

test("two balancers of one name have targets of their own", async () => {
  await using server = await startServer();
  await using one = grpcBalancer({ name: "same", discovery: [server.address] });
  await using other = grpcBalancer({ name: "same", discovery: [server.address] });
  expect(one.target).toBe("evenkeel:///same");
  expect(other.target).not.toBe(one.target);
  using client = new OrdersClient(other.target, credentials.createInsecure(), other.channelOptions);
  expect(await client.get()).toBe(server.port);
  expect(one.nodes[0]?.calls).toBe(0);
  expect(other.nodes[0]?.calls).toBe(1);
});

test("a node is called within 100 ms of discovery's naming it, at the median", async () => {
  const joins = 12;
  await using servers = await startServers(joins + 1);
  const [first, ...others] = servers as unknown as [TestServer, ...TestServer[]];
  const nodes = list([first.address]);
  await using balanced = balance(nodes);
  await balanced.client.get();
  let running = true;
  const caller = async (): Promise<void> => {
    while (running) await balanced.client.get();
  };
  const callers = Array.from({ length: 8 }, caller);
  const took: number[] = [];
  for (const server of others) {
    const namedAt = performance.now();
    nodes.add(server.address);
    await eventually("it is called", () => server.gets > 0);
    took.push(performance.now() - namedAt);
  }
  running = false;
  await Promise.all(callers);
  took.sort((left, right) => left - right);
  printFigure(
    "a node that joins, over gRPC",
    `first call ${ms(percentile(took, 0.5))} after discovery named it, at the median of ${joins} (pass: 100 ms)`,
    `${ms(percentile(took, 1))} at most`,
  );
  // A busy machine may hold a single one up.
  expect(percentile(took, 0.5)).toBeLessThanOrEqual(100);
});

test("beyond connections.total a channel keeps connections to some of the nodes, and to others when these are out", async () => {
  await using servers = await startServers(6);
  const addresses = servers.map(({ address }) => address);
  await using balanced = balance(addresses, { policy: roundRobin(), connections: { total: 2 } });
  const { client, balancer } = balanced;
  const called = () => servers.filter(({ gets }) => gets > 0);
  await inTurn(20, () => client.get());
  expect(called().map(({ sessions }) => sessions)).toEqual([1, 1]);
  expect(servers.reduce((sum, { sessions }) => sum + sessions, 0)).toBe(2);
  const [out] = called();
  balancer.drain(String(out?.address));
  await eventually("another is called", async () => {
    await client.get();
    return called().length === 3;
  });
});

test("ready() waits for discovery, and explain() says who is picked and why", async () => {
  await using server = await startServer();
  const nodes = list([]);
  await using balanced = balance(nodes);
  const { balancer, client } = balanced;
  await expect(balancer.ready({ timeoutMs: 20 })).rejects.toThrow(balancer.name);
  nodes.set([server.address]);
  await balancer.ready({ timeoutMs: 5_000 });
  await client.get();
  const explanation = balancer.explain();
  expect(explanation.nodes).toMatchObject([
    { address: `http://${server.address}`, state: "ready", probability: 1 },
  ]);
  expect(String(explanation)).toContain(server.address);
});

test("a policy of a subset keeps connections to the subset only", async () => {
  await using servers = await startServers(6);
  const sessions = () => servers.reduce((sum, server) => sum + server.sessions, 0);
  await using balanced = balance(
    servers.map(({ address }) => address),
    {
      policy: subset({ size: 2, clientId: "me", policy: roundRobin() }),
    },
  );
  expect(tally(await inTurn(20, () => balanced.client.get())).size).toBe(2);
  expect(sessions()).toBe(2);
  // Another takes the place of one that goes.
  const used = servers.find(({ gets }) => gets > 0);
  balanced.balancer.drain(String(used?.address));
  await eventually("another took its place", async () => {
    const counts = tally(await inTurn(4, () => balanced.client.get()));
    return counts.size === 2 && !counts.has(used?.port ?? 0);
  });
  // grpc-js closes what nobody uses any more within 10 s.
  expect(sessions()).toBeLessThanOrEqual(3);
});

test("options that gRPC has no use for are refused by name", async () => {
  const options = { name: "orders", discovery: [] };
  expect(() => grpcBalancer({ ...options, tls: { ca: "x" } })).toThrow(
    /^tls\.ca is of no use to grpcBalancer/,
  );
  const factory = () => ({}) as never;
  expect(() => grpcBalancer({ ...options, connections: { factory } })).toThrow(
    /^connections\.factory is of no use/,
  );
  const fallback = (): Response => new Response();
  expect(() => grpcBalancer({ ...options, fallback: fallback as never })).toThrow(/^fallback is of no use/);
  const policy = grpcPolicy("round_robin");
  expect(() => grpcBalancer({ ...options, policy, health: { check: grpcCheck() } })).toThrow(
    /^health\.check: grpcCheck\(\) is of no use to grpcPolicy/,
  );
  expect(() => grpcBalancer({ ...options, retry: { methods: ["Get"] } })).toThrow(
    new TypeError('retry.methods must hold full paths (/package.Service/Method), got "Get"'),
  );
  expect(() => grpcBalancer({ ...options, policy, shadow: leastCost() })).toThrow(
    /^shadow is of no use to grpc round_robin/,
  );
  expect(() => grpcBalancer({ ...options, policy: subset({ size: 2, policy }) })).toThrow(
    /^grpc round_robin picks by itself/,
  );
  expect(() => grpcBalancer({ ...options, shadow: policy })).toThrow(/^shadow: grpc round_robin cannot/);
  for (const header of ["x-deadline-bin", "x-left!"]) {
    expect(() => grpcBalancer({ ...options, deadlineHeader: header })).toThrow(
      /^deadlineHeader is of no use to grpcBalancer: /,
    );
  }
  const shadowed = new Cluster({ ...options, policy, shadow: leastCost() });
  expect(() => grpcBalancer(shadowed)).toThrow(/^grpc round_robin picks by itself/);
  await shadowed.close();
  const named = { ...roundRobin(), config: { size: 1 } };
  await grpcBalancer({ ...options, name: "named", policy: named, shadow: leastCost() }).close();
  expect(() => grpcBalancer({ ...options, polcy: roundRobin() } as never)).toThrow(
    /unknown option polcy.*"policy"/,
  );
});
