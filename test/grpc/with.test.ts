/** Options for some calls: each has its effect, on its calls only, and over the connections of all. */
import { inspect } from "node:util";
import { InterceptingCall, type Interceptor, Metadata, type MethodDefinition, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { leastRequest, maglev, withDeadline } from "../../src/index.ts";
import { balance, eventually, inTurn, tally, withoutEjection } from "./support/clients.ts";
import { type Handlers, methods, startServer, startServers } from "./support/servers.ts";

const get = methods.get.path;
const never: Handlers = { get: () => {} };
const failing: Handlers = {
  get: (_call, callback) => callback({ code: status.UNAVAILABLE, details: "full" }),
};

test("hashKey picks the node, and all views share one connection to each", async () => {
  await using servers = await startServers(3);
  await using balanced = balance(
    servers.map(({ address }) => address),
    // In a burst bounded loads would give a user a node that a call alone does not get.
    { policy: maglev({ key: { header: "x-user" }, boundFactor: false }) },
  );
  const { balancer, client, connect } = balanced;
  const callAs = (user: string) => client.get(balancer.with({ hashKey: user }).callOptions);
  const callAll = () => Promise.all(Array.from({ length: 30 }, (_, index) => callAs(`user ${index}`)));
  const first = await callAll();
  expect(await callAll()).toEqual(first);
  expect(new Set(first).size).toBe(3);

  const ada = balancer.with({ hashKey: "ada", retry: { attempts: 9 } });
  const adas = connect(ada.channelOptions);
  const home = await callAs("ada");
  expect(tally(await inTurn(10, () => adas.get()))).toEqual(new Map([[home, 10]]));
  // What a call is given goes before what its client was.
  const away = first.findIndex((port) => port !== home);
  expect(await adas.get(balancer.with({ hashKey: `user ${away}` }).callOptions)).toBe(first[away]);
  expect(servers.map(({ sessions }) => sessions)).toEqual([1, 1, 1]);
});

test("attemptMs and idempotent: a call without an answer in time is made good elsewhere", async () => {
  await using mute = await startServer(never);
  await using good = await startServer();
  await using balanced = balance([mute.address, good.address], withoutEjection);
  const { callOptions } = balanced.balancer.with({ attemptMs: 100, idempotent: true });
  expect(tally(await inTurn(6, () => balanced.client.get(callOptions)))).toEqual(new Map([[good.port, 6]]));
  expect(mute.gets).toBeGreaterThan(0);
  const impatient = balanced.balancer.with({ attemptMs: 50 }).callOptions;
  const results = await Promise.allSettled([balanced.client.get(impatient), balanced.client.get(impatient)]);
  const reasons = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
  expect(reasons).toMatchObject([
    { code: status.DEADLINE_EXCEEDED, details: expect.stringContaining("within 50 ms") },
  ]);
});

test("totalMs ends a call, and is the deadline that its server is told", async () => {
  const told: number[] = [];
  let answers = true;
  await using server = await startServer({
    get: (call, callback) => {
      told.push(Number(call.getDeadline()) - Date.now());
      if (answers) callback(null, Buffer.from("1"));
    },
    list: (call) => {
      told.push(Number(call.getDeadline()));
      call.end();
    },
  });
  await using balanced = balance([server.address]);
  const { balancer, client } = balanced;
  const minute = balancer.with({ totalMs: 60_000 });
  await client.get(minute.callOptions);
  await client.get({ ...minute.callOptions, deadline: Date.now() + 20_000 });
  await withDeadline(10_000, () => client.get(minute.callOptions));
  await client.get(balancer.with({ attemptMs: 5_000 }).callOptions);
  for (const [index, limit] of [60_000, 20_000, 10_000].entries()) {
    expect(told[index]).toBeLessThanOrEqual(limit);
    expect(told[index]).toBeGreaterThan(limit / 2);
  }
  expect(told[3]).toBe(Number.POSITIVE_INFINITY);

  const stream = client.list(balancer.with({ totalMs: 1 }).callOptions);
  const ended = new Promise((resolve) => stream.on("status", ({ code }) => resolve(code)));
  stream.resume();
  expect(await ended).toBe(status.OK);
  expect(told[4]).toBe(Number.POSITIVE_INFINITY);

  answers = false;
  await expect(client.get(balancer.with({ totalMs: 50 }).callOptions)).rejects.toMatchObject({
    code: status.DEADLINE_EXCEEDED,
  });
  expect(balancer.nodes[0]?.inflight).toBe(0);
});

test("totalMs bounds the wait for a first connection as well", async () => {
  await using balanced = balance({
    async *watch({ signal }) {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      yield [];
    },
  });
  const { callOptions } = balanced.balancer.with({ totalMs: 50 });
  await expect(balanced.client.get(callOptions)).rejects.toMatchObject({ code: status.DEADLINE_EXCEEDED });
});

test("retry: as many attempts as the view says, beyond grpc-js' own five as well", async () => {
  await using bad = await startServer(failing);
  await using balanced = balance([bad.address], {
    ...withoutEjection,
    retry: { methods: [get], budget: false },
  });
  const { balancer, client } = balanced;
  const attempts = async (options: Parameters<typeof balancer.with>[0]): Promise<number> => {
    const before = bad.gets;
    await expect(client.get(balancer.with(options).callOptions)).rejects.toMatchObject({ details: "full" });
    return bad.gets - before;
  };
  expect(await attempts({ retry: { attempts: 8, backoffMs: 0 } })).toBe(8);
  expect(await attempts({ retry: { attempts: 2, backoffMs: 0 } })).toBe(2);
  expect(await attempts({ retry: false })).toBe(1);
  expect(await attempts({ retry: { methods: ["/shop.Orders/Put"] } })).toBe(1);
  expect(await attempts({ idempotent: false })).toBe(1);
  expect(await attempts({ hashKey: "ada" })).toBe(3);
  const byLevel = { retry: { methods: "idempotency_level", backoffMs: 0 } } as const;
  expect(await attempts(byLevel)).toBe(1);
  const options = { idempotency_level: "IDEMPOTENT" };
  balancer.define({ get: { ...methods.get, options } as MethodDefinition<Buffer, Buffer> });
  expect(await attempts(byLevel)).toBe(3);
});

test("priority is sent, and decides who goes first at a limit", async () => {
  const heard: unknown[] = [];
  const held: (() => void)[] = [];
  await using server = await startServer({
    get: (call, callback) => {
      heard.push(call.metadata.get("evenkeel-priority")[0]);
      held.push(() => callback(null, Buffer.from("1")));
    },
  });
  await using balanced = balance([server.address], { limits: { inflight: 1, queue: 1, queueMs: 10_000 } });
  const { balancer, client } = balanced;
  const first = client.get();
  await eventually("it is under way", () => held.length === 1);
  const sheddable = client.get(balancer.with({ priority: "sheddable" }).callOptions);
  const refused = expect(sheddable).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED });
  const critical = client.get(balancer.with({ priority: "critical" }).callOptions);
  await refused;
  held.shift()?.();
  await eventually("the critical one is under way", () => held.length === 1);
  held.shift()?.();
  await Promise.all([first, critical]);
  expect(heard).toEqual([undefined, "critical"]);
});

test("zone: the nodes of another zone are preferred", async () => {
  await using servers = await startServers(4);
  const nodes = servers.map(({ address }, index) => ({ address, zone: index < 2 ? "a" : "b" }));
  await using balanced = balance(nodes, { zone: "a", policy: leastRequest() });
  await inTurn(4, () => balanced.client.get());
  const ports = (zone: string) =>
    servers.filter((_server, index) => nodes[index]?.zone === zone).map(({ port }) => port);
  const { callOptions } = balanced.balancer.with({ zone: "b" });
  expect(ports("b")).toEqual(
    expect.arrayContaining(await inTurn(20, () => balanced.client.get(callOptions))),
  );
  expect(ports("a")).toEqual(expect.arrayContaining(await inTurn(20, () => balanced.client.get())));
});

test("the client's own interceptors run, and neither its metadata nor the wire shows a view", async () => {
  const heard: Record<string, unknown>[] = [];
  await using server = await startServer({
    get: (call, callback) => {
      heard.push(call.metadata.getMap());
      callback(null, Buffer.from("1"));
    },
  });
  await using balanced = balance([server.address], withoutEjection);
  const { balancer, connect } = balanced;
  const signing: Interceptor = (options, next) =>
    new InterceptingCall(next(options), {
      start(metadata, listener, start) {
        metadata.set("authorization", "me");
        start(metadata, listener);
      },
    });
  const before = connect({ interceptors: [signing, ...balancer.channelOptions.interceptors] });
  const after = connect({ interceptors: [...balancer.channelOptions.interceptors, signing] });
  const metadata = new Metadata();
  metadata.set("x-user", "ada");
  const { callOptions } = balancer.with({ totalMs: 60_000 });
  await before.get(callOptions, metadata);
  await after.get(callOptions, metadata);
  await after.get({}, metadata);
  expect(heard.map(({ authorization }) => authorization)).toEqual(["me", "me", "me"]);
  const names = heard.map((map) =>
    Object.keys(map)
      .filter((name) => !/^(?:user-agent|grpc-)/.test(name))
      .sort(),
  );
  expect(names).toEqual(Array(3).fill(["authorization", "x-user"]));
  expect(metadata.getOptions()).toEqual({});
});

test("a view shows its options, and what it is a view of", async () => {
  await using balanced = balance([]);
  const { balancer } = balanced;
  const view = balancer.with({ totalMs: 250, hashKey: "ada" }).with({ attemptMs: 100 });
  expect(inspect(view)).toMatch(/^GrpcBalancerView with totalMs 250, attemptMs 100, attempts 3 of/);
  expect(view.toJSON()).toEqual({
    ...balancer.toJSON(),
    rules: { totalMs: 250, attemptMs: 100, attempts: 3, zone: undefined, idempotent: undefined },
  });
  expect(view.target).toBe(balancer.target);
});

test("a call is given the options of its own service only", async () => {
  await using server = await startServer();
  await using orders = balance([server.address]);
  await using users = balance([server.address]);
  await expect(orders.client.get(users.balancer.with({ totalMs: 5 }).callOptions)).rejects.toThrow(
    new TypeError(`options of ${users.balancer.name} were given to a call of ${orders.balancer.name}`),
  );
});
