/** Health and load that servers tell of themselves: grpc.health.v1/Watch, and reports in ORCA's trailer. */
import { credentials, getChannelzHandlers, Metadata, ServerCredentials, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { type Clock, systemClock } from "../../src/core/clock.ts";
import { encodeLoadReport, loadReportTrailer } from "../../src/core/orca.ts";
import { grpcBalancer, grpcCheck } from "../../src/grpc/index.ts";
import { roundRobin, subset, weightedRoundRobin } from "../../src/index.ts";
import { createAuthority } from "../support/certificates.ts";
import { balance, eventually, inTurn, OrdersClient, tally } from "./support/clients.ts";
import { HealthService } from "./support/health-service.ts";
import { startServer, startServers } from "./support/servers.ts";

test("a node that says NOT_SERVING gets no calls until it says SERVING, and streams go on", async () => {
  await using servers = await startServers(2);
  const health = servers.map(({ server }) => new HealthService(server));
  await using balanced = balance(
    servers.map(({ address }) => address),
    {
      policy: roundRobin(),
      health: { check: grpcCheck({ service: "shop.Orders" }), warmUpMs: 0 },
    },
  );
  await inTurn(4, () => balanced.client.get());
  await eventually("both are watched", () => health.every(({ watches }) => watches === 1));
  expect(health[0]?.asked).toEqual(["shop.Orders"]);
  health[0]?.set(false);
  await eventually("it is down", () => balanced.balancer.nodes.some(({ state }) => state === "down"));
  expect(tally(await inTurn(6, () => balanced.client.get()))).toEqual(new Map([[servers[1]?.port, 6]]));
  const down = balanced.balancer.nodes.find(({ state }) => state === "down");
  expect(down?.reason).toContain("NOT_SERVING");
  health[0]?.set(true);
  await eventually(
    "both are called",
    async () => tally(await inTurn(2, () => balanced.client.get())).size === 2,
  );
});

test("several channels share a stream for each node, and it moves when its channel goes", async () => {
  await using server = await startServer();
  const health = new HealthService(server.server);
  await using balanced = balance(
    [server.address],
    { health: { check: grpcCheck() } },
    { "grpc.primary_user_agent": "a" },
  );
  // Another option, and so another connection.
  const other = balanced.connect({ "grpc.primary_user_agent": "b" });
  await balanced.client.get();
  await other.get();
  await eventually("it is watched", () => health.watches === 1);
  balanced.client.close();
  await eventually("it is watched by the other", () => health.asked.length === 2);
  health.set(false);
  await eventually("it is down", () => balanced.balancer.nodes[0]?.state === "down");
});

test("a server without the health service is well, and a stream that breaks is begun again", async () => {
  await using plain = await startServer();
  await using watched = await startServer();
  const health = new HealthService(watched.server);
  await using balanced = balance([plain.address, watched.address], {
    policy: roundRobin(),
    health: { check: grpcCheck(), warmUpMs: 0 },
  });
  await inTurn(2, () => balanced.client.get());
  await eventually("it is watched", () => health.watches === 1);
  health.break();
  await eventually("it is down", () => balanced.balancer.nodes.some(({ state }) => state === "down"));
  expect(tally(await inTurn(4, () => balanced.client.get()))).toEqual(new Map([[plain.port, 4]]));
  // The first pause is half a second to a second.
  await eventually("it is back", () => balanced.balancer.nodes.every(({ state }) => state === "ready"));
  expect(health.asked).toHaveLength(2);
});

test("one that stands in for a node of a subset, and is out by its check as well, is called when it is well", async () => {
  await using servers = await startServers(3);
  const health = new Map(servers.map(({ port, server }) => [port, new HealthService(server)]));
  await using balanced = balance(
    servers.map(({ address }) => address),
    {
      policy: subset({ size: 1, clientId: "me" }),
      health: { check: grpcCheck(), warmUpMs: 0 },
    },
  );
  const { client } = balanced;
  /** Takes the one that is called out, and waits until another is. */
  const next = async (present: number): Promise<number> => {
    health.get(present)?.set(false);
    let port = present;
    await eventually("another is called", async () => {
      port = await client.get();
      return port !== present;
    });
    return port;
  };
  const first = await client.get();
  await eventually("it is watched", () => health.get(first)?.watches === 1);
  const second = await next(first);
  await eventually("the second is watched", () => health.get(second)?.watches === 1);
  const third = await next(second);
  expect(new Set([first, second, third]).size).toBe(3);
  await eventually("the third is watched", () => health.get(third)?.watches === 1);
  health.get(second)?.set(true);
  await eventually("the second is called", async () => (await client.get()) === second);
});

test("the streams end with the balancer", async () => {
  await using server = await startServer();
  const health = new HealthService(server.server);
  {
    await using balanced = balance([server.address], { health: { check: grpcCheck() } });
    await balanced.client.get();
    await eventually("it is watched", () => health.watches === 1);
  }
  await eventually("nobody watches", () => health.watches === 0);
});

test("a connection that channels share may go, and with it the only stream, without a rejection that nobody handles", async () => {
  await using server = await startServer();
  const health = new HealthService(server.server);
  await using balanced = balance([server.address], { health: { check: grpcCheck(), warmUpMs: 0 } });
  const other = balanced.connect();
  await balanced.client.get();
  await other.get();
  await eventually("it is watched", () => health.watches === 1);
  expect(server.sessions).toBe(1);
  using unhandled = recordUnhandled();
  await server.stop();
  await using back = await startServer({}, { port: server.port });
  const again = new HealthService(back.server);
  await eventually("it is watched again", () => again.watches === 1);
  expect(await other.get()).toBe(back.port);
  expect(unhandled.seen).toEqual([]);
});

test("a connection that goes while credentials are made for its stream is no verdict on the node", async () => {
  await using authority = await createAuthority();
  const { cert, key } = await authority.issue({ names: ["shop"] });
  const secured = ServerCredentials.createSsl(null, [
    { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) },
  ]);
  await using server = await startServer({}, { secured });
  new HealthService(server.server);
  const asked: (() => void)[] = [];
  const slow = credentials.createFromMetadataGenerator((_parameters, callback) => {
    asked.push(() => callback(null, new Metadata()));
  });
  const trusted = credentials.combineChannelCredentials(
    credentials.createSsl(Buffer.from(authority.ca)),
    slow,
  );
  const discovery = [`grpcs://${server.address}`];
  await using balancer = grpcBalancer({ name: "shop", discovery, health: { check: grpcCheck() } });
  using client = new OrdersClient(balancer.target, trusted, balancer.channelOptions);
  using unhandled = recordUnhandled();
  client.getChannel().getConnectivityState(true);
  await eventually("credentials are asked for", () => asked.length === 1);
  await server.stop();
  await eventually("the connection is gone", () => client.getChannel().getConnectivityState(false) !== 2);
  asked.shift()?.();
  await new Promise(setImmediate);
  expect(unhandled.seen).toEqual([]);
  expect(balancer.nodes[0]?.reason).not.toContain("health stream");
});

test("the stream has the calls' :authority, and leaves nothing behind in channelz", async () => {
  await using server = await startServer();
  const health = new HealthService(server.server);
  await using balanced = balance([server.address], { host: "shop.example", health: { check: grpcCheck() } });
  await balanced.client.get();
  await eventually("it is watched", () => health.watches === 1);
  expect(health.authorities).toEqual(["shop.example"]);
  // The client's own, and none for the stream.
  expect(channelsOf(balanced.balancer.target)).toBe(1);
});

test("an answer that is no HealthCheckResponse takes the node out, and the process goes on", async () => {
  await using server = await startServer();
  const health = new HealthService(server.server);
  health.garble();
  await using balanced = balance([server.address], { health: { check: grpcCheck() } });
  await balanced.client.get();
  await eventually("it is down", () => balanced.balancer.nodes[0]?.state === "down");
  expect(balanced.balancer.nodes[0]?.reason).toContain("ended as INTERNAL");
});

test("grpcCheck refuses unknown options", () => {
  expect(() => grpcCheck({ srevice: "a" } as object)).toThrow(/unknown option grpcCheck\.srevice.*"service"/);
});

test("load reports in trailers reach the nodes and the policies", async () => {
  const reporting = (report: object) =>
    startServer({
      get: (_call, callback) => {
        const trailers = new Metadata();
        trailers.set(loadReportTrailer, encodeLoadReport(report));
        callback(null, Buffer.from("1"), trailers);
      },
    });
  await using idle = await reporting({ inflight: 1, cpuUtilization: 0.2, rps: 100 });
  await using busy = await reporting({ inflight: 50, cpuUtilization: 0.8, rps: 100 });
  await using balanced = balance([idle.address, busy.address], { policy: roundRobin() });
  await inTurn(4, () => balanced.client.get());
  const reports = [...balanced.balancer.cluster.nodeSet.nodes.values()].map(({ report }) => report);
  expect(reports.map((report) => report?.cpuUtilization)).toEqual([0.2, 0.8]);
  expect(reports.map((report) => report?.inflight)).toEqual([1, 50]);

  await using byCost = balance([idle.address, busy.address]);
  await inTurn(2, () => byCost.client.get());
  const before = busy.gets;
  await inTurn(20, () => byCost.client.get());
  // 50 in flight, as it says, cost many times 1.
  expect(busy.gets - before).toBeLessThanOrEqual(3);
});

test("weightedRoundRobin goes by what nodes have reported for a while", async () => {
  const reporting = (cpuUtilization: number) =>
    startServer({
      get: (_call, callback) => {
        const trailers = new Metadata();
        trailers.set(loadReportTrailer, encodeLoadReport({ cpuUtilization, rps: 100 }));
        callback(null, Buffer.from("1"), trailers);
      },
    });
  await using idle = await reporting(0.2);
  await using busy = await reporting(0.8);
  let skewMs = 0;
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + skewMs };
  const policy = weightedRoundRobin({ reports: true });
  await using balanced = balance([idle.address, busy.address], { policy, clock });
  await inTurn(20, () => balanced.client.get());
  expect([idle.gets, busy.gets]).toEqual([10, 10]);
  // Past the time in which a node's figures are those of its start.
  skewMs = 11_000;
  await inTurn(4, () => balanced.client.get());
  const before = busy.gets;
  await inTurn(50, () => balanced.client.get());
  // 100 calls a second at 20% against 100 at 80%: four to one.
  expect(busy.gets - before).toBe(10);
});

test("a report with a failed call is left alone", async () => {
  await using server = await startServer({
    get: (_call, callback) => {
      const metadata = new Metadata();
      metadata.set(loadReportTrailer, encodeLoadReport({ inflight: 0 }));
      callback({ code: status.INTERNAL, metadata });
    },
  });
  await using balanced = balance([server.address]);
  await expect(balanced.client.get()).rejects.toMatchObject({ code: status.INTERNAL });
  expect([...balanced.balancer.cluster.nodeSet.nodes.values()][0]?.report).toBeUndefined();
});

/** Rejections that nobody handles, which would have ended the process. */
function recordUnhandled(): Disposable & { readonly seen: readonly unknown[] } {
  const seen: unknown[] = [];
  const record = (reason: unknown): void => void seen.push(reason);
  process.on("unhandledRejection", record);
  return { seen, [Symbol.dispose]: () => void process.off("unhandledRejection", record) };
}

/** How many channels to the target channelz lists. */
function channelsOf(target: string): number {
  let count = 0;
  const request = { start_channel_id: "0", max_results: "1000" };
  getChannelzHandlers().GetTopChannels?.({ request } as never, (_error: unknown, answer?: unknown) => {
    const { channel } = answer as {
      readonly channel: readonly { readonly data: { readonly target: string } }[];
    };
    count = channel.filter(({ data }) => data.target.startsWith(target)).length;
  });
  return count;
}
