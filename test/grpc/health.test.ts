/** Health and load that servers tell of themselves: grpc.health.v1/Watch, and reports in ORCA's trailer. */
import { Metadata, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { type Clock, systemClock } from "../../src/core/clock.ts";
import { encodeLoadReport, loadReportTrailer } from "../../src/core/orca.ts";
import { grpcCheck } from "../../src/grpc/index.ts";
import { roundRobin, weightedRoundRobin } from "../../src/index.ts";
import { balance, eventually, inTurn, tally } from "./support/clients.ts";
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
