/** Retries over gRPC: which calls are tried again, where, and within which limits. */
import { constants } from "node:http2";
import { Metadata, type MethodDefinition, type ServiceError, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { type Policy, ringHash } from "../../src/index.ts";
import { Recorder } from "../support/recorder.ts";
import { balance, configured, eventually, inTurn, tally, withoutEjection } from "./support/clients.ts";
import { startRawPeer } from "./support/raw-peer.ts";
import { methods, startServer } from "./support/servers.ts";

const get = methods.get.path;
const failing = () =>
  startServer({ get: (_call, callback) => callback({ code: status.UNAVAILABLE, details: "full" }) });

test("a method that may run twice is tried on another node", async () => {
  await using bad = await failing();
  await using good = await startServer();
  await using balanced = balance([bad.address, good.address], {
    ...withoutEjection,
    retry: { methods: [get] },
  });
  expect(tally(await inTurn(20, () => balanced.client.get()))).toEqual(new Map([[good.port, 20]]));
  expect(bad.gets).toBeGreaterThanOrEqual(10);
});

test("with two of three nodes bad every call finds the good one in three attempts", async () => {
  await using one = await failing();
  await using two = await failing();
  await using good = await startServer();
  await using balanced = balance([one.address, two.address, good.address], {
    ...withoutEjection,
    // It would pick the same node again and again.
    policy: ringHash({ key: { header: "x-user" } }),
    retry: { methods: [get], budget: false, backoffMs: 1 },
  });
  let user = 0;
  const call = () => {
    const metadata = new Metadata();
    metadata.set("x-user", String(user++));
    return balanced.client.get({}, metadata);
  };
  expect(tally(await inTurn(30, call))).toEqual(new Map([[good.port, 30]]));
  expect(one.gets + two.gets).toBeGreaterThan(5);
});

test("any other method is sent once, and its status is the server's", async () => {
  await using bad = await startServer({
    get: (_call, callback) => {
      const metadata = new Metadata();
      metadata.set("x-why", "full");
      callback({ code: status.UNAVAILABLE, details: "full", metadata });
    },
  });
  await using balanced = balance([bad.address], withoutEjection);
  const error = await balanced.client.get().catch((thrown: ServiceError) => thrown);
  expect(error).toMatchObject({ code: status.UNAVAILABLE, details: "full" });
  expect((error as ServiceError).metadata.getMap()).toMatchObject({ "x-why": "full" });
  expect((error as ServiceError).metadata.get("grpc-retry-pushback-ms")).toEqual([]);
  expect(bad.gets).toBe(1);
});

test("by idempotency_level, what the method's definition says decides", async () => {
  await using bad = await failing();
  await using good = await startServer();
  await using balanced = balance([bad.address, good.address], {
    ...withoutEjection,
    retry: { methods: "idempotency_level" },
  });
  const define = (level: string) =>
    balanced.balancer.define({
      get: { ...methods.get, options: { idempotency_level: level } } as MethodDefinition<Buffer, Buffer>,
    });
  define("NO_SIDE_EFFECTS");
  await inTurn(4, () => balanced.client.get());
  expect(bad.gets).toBeGreaterThanOrEqual(2);
  define("IDEMPOTENCY_UNKNOWN");
  const results = await Promise.allSettled([balanced.client.get(), balanced.client.get()]);
  expect(results.map((result) => result.status).sort()).toEqual(["fulfilled", "rejected"]);
});

test("retries stay within the budget", async () => {
  await using bad = await failing();
  await using balanced = balance([bad.address], {
    ...withoutEjection,
    retry: { methods: [get], backoffMs: 0, budget: { ratio: 0.1, minPerSecond: 1 } },
  });
  const results = await Promise.allSettled(Array.from({ length: 100 }, () => balanced.client.get()));
  expect(results.every((result) => result.status === "rejected" && result.reason.details === "full")).toBe(
    true,
  );
  // 10 for 10 s, and a tenth of the 100 calls.
  expect(bad.gets).toBeGreaterThan(100);
  expect(bad.gets).toBeLessThanOrEqual(120);
});

test("retry: false and a server's pushback are heeded", async () => {
  await using bad = await failing();
  await using once = balance([bad.address], { ...withoutEjection, retry: false });
  await expect(once.client.get()).rejects.toMatchObject({ code: status.UNAVAILABLE });
  expect(bad.gets).toBe(1);

  await using pushing = await startServer({
    get: (_call, callback) => {
      const metadata = new Metadata();
      metadata.set("grpc-retry-pushback-ms", "-1");
      callback({ code: status.UNAVAILABLE, details: "not again", metadata });
    },
  });
  await using balanced = balance([pushing.address], { ...withoutEjection, retry: { methods: [get] } });
  await expect(balanced.client.get()).rejects.toMatchObject({ details: "not again" });
  expect(pushing.gets).toBe(1);
});

test("an attempt that gets no answer in time is made good elsewhere", async () => {
  await using hanging = await startServer({ get: () => {} });
  await using good = await startServer();
  await using balanced = balance([hanging.address, good.address], {
    ...withoutEjection,
    retry: { methods: [get] },
    timeouts: { attemptMs: 50 },
  });
  expect(tally(await inTurn(6, () => balanced.client.get()))).toEqual(new Map([[good.port, 6]]));
  expect(hanging.gets).toBeGreaterThanOrEqual(3);
  const hung = balanced.balancer.nodes.find(({ address }) => address.endsWith(hanging.address));
  expect(hung).toMatchObject({ failures: hanging.gets, inflight: 0 });
  // The server was told that nobody waits any more.
  await eventually("the hanging server has no call left", () => hung !== undefined && hung.inflight === 0);
});

test("an attempt that gets no answer in time, and that nothing makes good, is the caller's DEADLINE_EXCEEDED", async () => {
  await using hanging = await startServer({ get: (call) => call.sendMetadata(new Metadata()) });
  const options = { ...withoutEjection, timeouts: { attemptMs: 60 } };
  const late = { code: status.DEADLINE_EXCEEDED, details: expect.stringContaining("within 60 ms") };
  const retry = { methods: [get] };
  // Headers had come, after which grpc-js tries nothing again.
  await using begun = balance([hanging.address], { ...options, retry });
  await expect(begun.client.get()).rejects.toMatchObject(late);
  await using hedged = balance([hanging.address], { ...options, retry, hedge: { afterMs: 10 } });
  await expect(hedged.client.get()).rejects.toMatchObject(late);
  await using theirs = balance([hanging.address], options, configured({ timeout: "5s" }));
  await expect(theirs.client.get()).rejects.toMatchObject(late);
  // Beyond 1 MB grpc-js keeps no message for another attempt.
  await using deaf = await startServer({ get: () => {} });
  await using large = balance([deaf.address], { ...options, retry });
  const message = Buffer.alloc(2_000_000);
  await expect(large.client.unary(methods.get, {}, new Metadata(), message)).rejects.toMatchObject(late);
});

test("a methodConfig of the channel's own decides instead, and its attempts avoid tried nodes as well", async () => {
  await using bad = await startServer({ get: (_call, callback) => callback({ code: status.INTERNAL }) });
  await using good = await startServer();
  const retryPolicy = {
    maxAttempts: 2,
    initialBackoff: "0.001s",
    maxBackoff: "0.01s",
    backoffMultiplier: 1,
    retryableStatusCodes: ["INTERNAL"],
  };
  await using balanced = balance(
    [bad.address, good.address],
    { ...withoutEjection, retry: { methods: [methods.put.path] } },
    configured({ retryPolicy }),
  );
  expect(tally(await inTurn(10, () => balanced.client.get()))).toEqual(new Map([[good.port, 10]]));
  expect(bad.gets).toBeGreaterThanOrEqual(5);
});

test("nodes that pass a call over in leaving cost none of its attempts, up to as many", async () => {
  let passed = 0;
  const leave = () =>
    startRawPeer((stream) => {
      passed++;
      stream.session?.goaway();
      stream.close(constants.NGHTTP2_REFUSED_STREAM);
    });
  await using one = await leave();
  await using two = await leave();
  await using three = await leave();
  await using good = await startServer();
  const goodLast: Policy = {
    name: "goodLast",
    build: (nodes) => ({
      pick({ tried }) {
        const left = nodes.filter((node) => !tried.includes(node));
        return left.find(({ key }) => !key.endsWith(good.address)) ?? left[0];
      },
    }),
  };
  const addresses = [one, two, three, good].map(({ address }) => address);
  const retry = { methods: [], attempts: 2, budget: false as const };
  await using balanced = balance(addresses, { ...withoutEjection, policy: goodLast, retry });
  await balanced.client.put();
  expect(passed).toBe(3);
});

test("a connection that its node ends for our PINGs is lost, and a method that may run twice is made good", async () => {
  await using strict = await startRawPeer((stream) => {
    const { session } = stream;
    // As grpc-go does it: the call was begun, and the connection is closed under it.
    session?.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, stream.id, Buffer.from("too_many_pings"));
    setImmediate(() => session?.destroy());
  });
  await using good = await startServer();
  const addresses = [strict.address, good.address];
  const retry = { methods: [get] };
  await using balanced = balance(addresses, { ...withoutEjection, retry });
  using recorder = new Recorder(balanced.balancer.name);
  expect(tally(await inTurn(10, () => balanced.client.get()))).toEqual(new Map([[good.port, 10]]));
  const ends = recorder.endsOn(`http://${strict.address}`);
  expect(ends.length).toBeGreaterThan(0);
  expect(tally(ends.map(({ outcome, detail }) => `${outcome} ${detail}`))).toEqual(
    new Map([["ignored ENHANCE_YOUR_CALM", ends.length]]),
  );
  expect(recorder.retries).toHaveLength(ends.length);
  await using alone = balance([strict.address], { ...withoutEjection, retry });
  await expect(alone.client.put()).rejects.toMatchObject({
    code: status.UNAVAILABLE,
    details: expect.stringContaining(`${strict.address} ended the connection with ENHANCE_YOUR_CALM`),
  });
});

test("a message too large for grpc-js to keep is sent once, and no retry of it is told of or paid for", async () => {
  await using refusing = await startRawPeer((stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM));
  await using balanced = balance([refusing.address], {
    ...withoutEjection,
    retry: { methods: [get], attempts: 2, backoffMs: 1, budget: { ratio: 0, minPerSecond: 1 } },
  });
  using recorder = new Recorder(balanced.balancer.name);
  const large = Buffer.alloc(2_000_000);
  const call = (message: Buffer) =>
    expect(balanced.client.unary(methods.get, {}, new Metadata(), message)).rejects.toMatchObject({
      code: status.UNAVAILABLE,
    });
  for (let round = 0; round < 15; round++) await call(large);
  expect([recorder.starts.length, recorder.retries.length]).toEqual([15, 0]);
  // There would be none left of the 10 of the budget.
  await call(Buffer.alloc(10));
  expect([recorder.starts.length, recorder.retries.length]).toEqual([17, 1]);
});
