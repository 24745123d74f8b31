/** Call credentials, which are made between the pick of a node and the sending: what hangs there, and what fails. */
import { type CallCredentials, credentials, Metadata, ServerCredentials, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { grpcPolicy } from "../../src/grpc/index.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import { createAuthority } from "../support/certificates.ts";
import { balance, configured, connected, eventually, OrdersClient } from "./support/clients.ts";
import { recordCalls } from "./support/record-calls.ts";
import { type Handlers, methods, startServer } from "./support/servers.ts";

const totalMs = 1_000;
const timeouts = { totalMs };
const { get } = methods;

interface Tokens {
  readonly credentials: CallCredentials;
  /** How often one was asked for. */
  readonly asked: number;
}

/** @param answer to the n-th question; none when it gives nothing. */
function tokens(answer: (asked: number) => Metadata | Error | undefined): Tokens {
  let asked = 0;
  return {
    credentials: credentials.createFromMetadataGenerator((_parameters, callback) => {
      const given = answer(++asked);
      if (given instanceof Metadata) callback(null, given);
      else if (given !== undefined) callback(given);
    }),
    get asked() {
      return asked;
    },
  };
}

function holding(key: string): Metadata {
  const metadata = new Metadata();
  metadata.set(key, "token");
  return metadata;
}

const isOutOfTime = {
  code: status.DEADLINE_EXCEEDED,
  details: expect.stringContaining(`no call credentials within ${totalMs} ms`),
};

test("a call whose credentials hang ends with totalMs, and keeps neither its node nor the balancer", async () => {
  await using server = await startServer();
  const clock = new ManualClock();
  const hanging = tokens(() => undefined);
  await using balanced = balance([server.address], { clock, timeouts });
  const call = balanced.client.get({ credentials: hanging.credentials });
  await eventually("they are asked for", () => hanging.asked === 1);
  expect(balanced.balancer.nodes[0]?.inflight).toBe(1);
  clock.advance(totalMs);
  await expect(call).rejects.toMatchObject(isOutOfTime);
  expect(balanced.balancer.nodes[0]).toMatchObject({ inflight: 0, calls: 0 });
  expect([server.gets, hanging.asked]).toEqual([0, 1]);
});

test("so does one that has been sent before, when those of its next attempt hang", async () => {
  const failing = { code: status.UNAVAILABLE, details: "told to" };
  await using server = await startServer({ get: (_call, callback) => callback(failing) });
  const clock = new ManualClock();
  const hanging = tokens((asked) => (asked === 1 ? new Metadata() : undefined));
  await using balanced = balance([server.address], { clock, timeouts, retry: { methods: [get.path] } });
  const call = balanced.client.get({ credentials: hanging.credentials });
  await eventually("they are asked for again", () => hanging.asked === 2);
  clock.advance(totalMs);
  await expect(call).rejects.toMatchObject(isOutOfTime);
  expect(balanced.balancer.nodes[0]).toMatchObject({ inflight: 0, calls: 1 });
  expect(server.gets).toBe(1);
});

test("so do those of a channel, alone and with a call's own", async () => {
  await using authority = await createAuthority();
  const { cert, key } = await authority.issue({ names: ["orders.internal"] });
  const sent: unknown[] = [];
  const handlers: Handlers = {
    get: (call, callback) => {
      sent.push([...call.metadata.get("of-call"), ...call.metadata.get("of-channel")]);
      callback(null, Buffer.from("1"));
    },
  };
  const pair = { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) };
  await using server = await startServer(handlers, { secured: ServerCredentials.createSsl(null, [pair]) });
  const clock = new ManualClock();
  const good = tokens(() => holding("of-call"));
  const hanging = tokens((asked) => (asked < 3 ? holding("of-channel") : undefined));
  await using balanced = balance([server.address], {
    clock,
    timeouts,
    tls: { servername: "orders.internal" },
  });
  const secure = credentials.combineChannelCredentials(
    credentials.createSsl(Buffer.from(authority.ca)),
    hanging.credentials,
  );
  const { target, channelOptions } = balanced.balancer;
  using client = new OrdersClient(target, secure, channelOptions);
  await connected(client);
  await client.get();
  await client.get({ credentials: good.credentials });
  expect(sent).toEqual([["token"], ["token", "token"]]);
  for (const [index, options] of [{}, { credentials: good.credentials }].entries()) {
    const call = client.get(options);
    await eventually("they are asked for", () => hanging.asked === 3 + index);
    clock.advance(totalMs);
    await expect(call).rejects.toMatchObject(isOutOfTime);
  }
  expect([server.gets, good.asked]).toEqual([2, 2]);
  expect(balanced.balancer.nodes[0]?.inflight).toBe(0);
});

test("credentials that come late, and hang no longer, leave the attempt its own time", async () => {
  await using server = await startServer({ get: () => {} });
  const clock = new ManualClock();
  let give = (): void => {};
  const late = credentials.createFromMetadataGenerator((_parameters, callback) => {
    give = () => callback(null, new Metadata());
  });
  await using balanced = balance([server.address], { clock, timeouts: { totalMs, attemptMs: 300 } });
  const call = balanced.client.get({ credentials: late });
  const failed = expect(call).rejects.toMatchObject({
    code: status.DEADLINE_EXCEEDED,
    details: expect.stringContaining("no answer within 300 ms"),
  });
  await eventually("it is picked for", () => balanced.balancer.nodes[0]?.inflight === 1);
  clock.advance(500);
  give();
  await eventually("it is there", () => server.gets === 1);
  clock.advance(299);
  expect(balanced.balancer.nodes[0]?.inflight).toBe(1);
  clock.advance(1);
  await failed;
});

test("credentials that are UNAVAILABLE fail the call at once, whatever it is of, and are not asked for again", async () => {
  await using server = await startServer();
  const down = tokens(() => Object.assign(new Error("no token service"), { code: status.UNAVAILABLE }));
  await using balanced = balance([server.address], { retry: { methods: [get.path] } });
  using calls = recordCalls(balanced.balancer.name);
  await balanced.client.get();
  const failed = {
    code: status.UNAVAILABLE,
    details: "Getting metadata from plugin failed with error: no token service",
  };
  const given = { credentials: down.credentials };
  await expect(balanced.client.get(given)).rejects.toMatchObject(failed);
  await expect(balanced.client.put(given)).rejects.toMatchObject(failed);
  const list = balanced.client.list(given);
  const ended = new Promise((resolve) => list.on("error", resolve));
  list.resume();
  expect(await ended).toMatchObject(failed);
  expect([down.asked, server.gets]).toEqual([3, 1]);
  expect(balanced.balancer.nodes[0]).toMatchObject({ inflight: 0, calls: 1, failures: 0 });
  // Nor does it say anything of the service.
  expect(calls.seen).toEqual(["success", "ignored", "ignored", "ignored"]);
  await using hedged = balance([server.address], {
    retry: { methods: [get.path] },
    hedge: { afterMs: 5_000 },
  });
  await expect(hedged.client.get(given)).rejects.toMatchObject(failed);
  expect([down.asked, server.gets]).toEqual([4, 1]);
});

test("a retryPolicy of the channel's own decides of credentials that are UNAVAILABLE as well", async () => {
  await using server = await startServer();
  const once = tokens((asked) =>
    asked === 1 ? Object.assign(new Error("not yet"), { code: status.UNAVAILABLE }) : new Metadata(),
  );
  const retryPolicy = {
    maxAttempts: 2,
    initialBackoff: "0.01s",
    maxBackoff: "0.01s",
    backoffMultiplier: 1,
    retryableStatusCodes: ["UNAVAILABLE"],
  };
  await using balanced = balance([server.address], {}, configured({ retryPolicy }));
  expect(await balanced.client.get({ credentials: once.credentials })).toBe(server.port);
  expect(once.asked).toBe(2);
});

test("under grpcPolicy credentials are grpc-js' own affair", async () => {
  await using server = await startServer({
    get: (call, callback) => callback(null, Buffer.from(call.metadata.get("of-call").length.toString())),
  });
  const good = tokens(() => holding("of-call"));
  await using ours = balance([server.address]);
  await using theirs = balance([server.address], { policy: grpcPolicy("round_robin") });
  for (const { client } of [ours, theirs, ours]) {
    expect(await client.get()).toBe(0);
    expect(await client.get({ credentials: good.credentials })).toBe(1);
  }
  expect(ours.balancer.nodes[0]).toMatchObject({ inflight: 0, calls: 4 });
});
