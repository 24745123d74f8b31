/** What is ours and what is left to grpc-js under `grpcPolicy()`, a policy of its own. */
import { type handleUnaryCall, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import type { CheckResult, HealthCheck } from "../../src/core/health-check.ts";
import { grpcPolicy } from "../../src/grpc/index.ts";
import { list } from "../../src/index.ts";
import { balance, connected, eventually, inTurn, tally } from "./support/clients.ts";
import { recordCalls } from "./support/record-calls.ts";
import { methods, startServer, startServers, type TestServer } from "./support/servers.ts";

const get = methods.get.path;

test("grpcPolicy runs discovery and drains under grpc-js' own policies", async () => {
  await using servers = await startServers(3);
  const nodes = list(servers.map(({ address }) => address));
  await using balanced = balance(nodes, { policy: grpcPolicy("round_robin") });
  await connected(balanced.client);
  await eventually(
    "all are called",
    async () => tally(await inTurn(6, () => balanced.client.get())).size === 3,
  );
  expect(tally(await inTurn(30, () => balanced.client.get()))).toEqual(
    new Map(servers.map(({ port }) => [port, 10])),
  );
  nodes.remove(String(servers[0]?.address));
  await eventually(
    "the removed node is left alone",
    async () => !(await inTurn(6, () => balanced.client.get())).includes(servers[0]?.port ?? 0),
  );
  balanced.balancer.drain(String(servers[1]?.address));
  await eventually("one is left", async () => tally(await inTurn(6, () => balanced.client.get())).size === 1);
});

test("under grpcPolicy no call is sent again, as nobody sees what may be", async () => {
  const unavailable: handleUnaryCall<Buffer, Buffer> = (_call, callback) =>
    callback({ code: status.UNAVAILABLE, details: "full" });
  await using server = await startServer({ get: unavailable, put: unavailable });
  await using balanced = balance([server.address], {
    policy: grpcPolicy("round_robin"),
    retry: { methods: [methods.get.path] },
    hedge: { afterMs: 1 },
  });
  await expect(balanced.client.put()).rejects.toMatchObject({ details: "full" });
  await expect(balanced.client.get()).rejects.toMatchObject({ details: "full" });
  expect([server.calls.get("put"), server.gets]).toEqual([1, 1]);
});

test("under grpcPolicy calls tell by their status how the service is", async () => {
  let code = status.OK;
  await using server = await startServer({ get: (_call, callback) => callback({ code }) });
  await using balanced = balance([server.address], { policy: grpcPolicy("round_robin") });
  using calls = recordCalls(balanced.balancer.name);
  for (code of [status.NOT_FOUND, status.RESOURCE_EXHAUSTED, status.DATA_LOSS, status.CANCELLED]) {
    await expect(balanced.client.get()).rejects.toMatchObject({ code });
  }
  expect(calls.seen).toEqual(["success", "failure", "failure", "ignored"]);
});

test("under grpcPolicy the breaker sees a service that answers every call with an error", async () => {
  await using server = await startServer({
    get: (_call, callback) => callback({ code: status.INTERNAL, details: "broken" }),
  });
  await using balanced = balance([server.address], {
    policy: grpcPolicy("round_robin"),
    // Within a window of that length no failure is forgotten before the end of the test.
    breaker: { rate: { minimumCalls: 5, windowMs: 600_000 } },
  });
  const ends = await inTurn(200, () =>
    balanced.client.get().catch(({ details }: Error & { details: string }) => details),
  );
  expect(ends.slice(0, 5)).toEqual(Array(5).fill("broken"));
  expect(ends.filter((details) => details !== "broken").length).toBeGreaterThan(100);
});

test("under grpcPolicy a node that fails its check gets no calls until it passes", async () => {
  await using servers = await startServers(2);
  const [bad, good] = servers as readonly TestServer[] as [TestServer, TestServer];
  let tell = (_result: CheckResult): void => {};
  const check: HealthCheck = {
    name: "told",
    watch({ address }, report) {
      if (address.port === bad.port) tell = report;
      return { [Symbol.dispose]: () => {} };
    },
  };
  const addresses = servers.map(({ address }) => address);
  await using balanced = balance(addresses, { policy: grpcPolicy("round_robin"), health: { check } });
  const called = async () => [...tally(await inTurn(6, () => balanced.client.get())).keys()];
  await eventually("both are called", async () => (await called()).length === 2);
  tell({ healthy: false, detail: "told so" });
  await eventually("one is called", async () => (await called()).length === 1);
  expect(await called()).toEqual([good.port]);
  tell({ healthy: true, detail: "" });
  await eventually("both are called again", async () => (await called()).length === 2);
});

test("under grpcPolicy calls wait for discovery, and fail where there is no node", async () => {
  await using server = await startServer();
  for (const name of ["round_robin", "pick_first"]) {
    const policy = grpcPolicy(name);
    await using early = balance(
      {
        async *watch() {
          await new Promise((resolve) => setTimeout(resolve, 50));
          yield [{ address: server.address }];
        },
      },
      { policy },
    );
    expect(await early.client.get()).toBe(server.port);
    const nodes = list([]);
    await using empty = balance(nodes, { policy, allowEmpty: true });
    const none = { code: status.UNAVAILABLE, details: expect.stringContaining("discovery names no node") };
    await expect(empty.client.get()).rejects.toMatchObject(none);
    nodes.set([server.address]);
    await eventually("it is called", () =>
      empty.client.get().then(
        () => true,
        () => false,
      ),
    );
    const never = async function* (): AsyncGenerator<never> {
      await new Promise(() => {});
    };
    await using late = balance({ watch: never }, { policy, timeouts: { connectMs: 100 } });
    await expect(late.client.get()).rejects.toMatchObject({
      code: status.UNAVAILABLE,
      details: expect.stringContaining("no node yet"),
    });
  }
});

test("grpcPolicy refuses what grpc-js would silently take for pick_first", () => {
  expect(() => grpcPolicy("roundrobin")).toThrow(
    new RangeError('grpcPolicy must be given a policy that grpc-js knows, got "roundrobin"'),
  );
  expect(() => grpcPolicy("pick_first", { shuffleAddressList: 1 })).toThrow(RangeError);
});

test("under a policy of grpc-js' own a call is sent once, whatever its method", async () => {
  await using bad = await startServer({
    get: (_call, callback) => callback({ code: status.UNAVAILABLE, details: "full" }),
    put: (_call, callback) => callback({ code: status.UNAVAILABLE, details: "full" }),
  });
  await using balanced = balance([bad.address], {
    policy: grpcPolicy("round_robin"),
    retry: { methods: [get] },
    hedge: { afterMs: 1 },
  });
  for (const call of [balanced.client.get(), balanced.client.put()]) {
    await expect(call).rejects.toMatchObject({ code: status.UNAVAILABLE, details: "full" });
  }
  expect(bad.calls).toEqual(
    new Map([
      ["get", 1],
      ["put", 1],
    ]),
  );
});
