/** How streams end: well, with an error that only their body tells, with nothing at all, or given up by their reader. */
import { constants } from "node:http2";
import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { connectBalancer } from "../../src/connect/index.ts";
import { roundRobin } from "../../src/index.ts";
import { until } from "../support/until.ts";
import { connectionsOf } from "./support/connections.ts";
import { startFront } from "./support/front.ts";
import { startRawServer } from "./support/raw-server.ts";
import { startShop } from "./support/servers.ts";
import { ask, told } from "./support/shop.ts";
import { protocolNames, protocols, type ShopClient } from "./support/transports.ts";

async function read(client: ShopClient, wish: Parameters<typeof ask>[0], options = {}): Promise<number> {
  let messages = 0;
  for await (const _message of client.list(ask(wish), options)) messages++;
  return messages;
}

describe.each(protocolNames)("%s", (name) => {
  test("a node whose streams fail is ejected, whatever place its protocol has for errors", async () => {
    await using bad = await startShop();
    await using good = await startShop();
    await using shop = connectBalancer({
      name: "shop",
      discovery: [bad.address, good.address],
      policy: roundRobin(),
      health: { ejection: { consecutiveFailures: 3 } },
    });
    const client = protocols[name](shop.transportOptions);
    let failed = 0;
    for (let index = 0; index < 20; index++) {
      await read(client, { code: Code.Internal, at: bad.address }).catch(() => failed++);
    }
    expect(failed).toBe(3);
    await until("all are over", () => shop.nodes.every(({ inflight }) => inflight === 0), 2_000);
    expect(shop.nodes).toMatchObject([
      { address: bad.address, calls: 3, failures: 3, state: "ejected" },
      { address: good.address, calls: 17, failures: 0, state: "ready" },
    ]);
  });

  test.each([
    { manager: "with the interceptor", interceptors: undefined },
    { manager: "without", interceptors: [] },
  ])(
    "a node before which a proxy answers with a page of its own is ejected, $manager",
    async ({ interceptors }) => {
      await using proxy = await startRawServer((stream) => {
        stream.resume();
        stream.respond({ ":status": 503, "content-type": "text/plain" });
        stream.end("no healthy upstream");
      });
      await using good = await startShop();
      await using shop = connectBalancer({
        name: "shop",
        discovery: [proxy.address, good.address],
        policy: roundRobin(),
        health: { ejection: { consecutiveFailures: 3 } },
      });
      const { transportOptions } = shop;
      const client = protocols[name]({
        ...transportOptions,
        interceptors: interceptors ?? transportOptions.interceptors,
      });
      const codes: unknown[] = [];
      for (let index = 0; index < 20; index++) {
        await read(client, {}).catch(({ code }) => codes.push(code));
      }
      expect(codes).toEqual([Code.Unavailable, Code.Unavailable, Code.Unavailable]);
      await until("all are over", () => shop.nodes.every(({ inflight }) => inflight === 0), 2_000);
      expect(shop.nodes).toMatchObject([
        { address: proxy.address, calls: 3, failures: 3, state: "ejected" },
        { address: good.address, calls: 17, failures: 0, state: "ready" },
      ]);
      expect(connectionsOf(shop)).toMatchObject({ open: 1, idle: 1 });
    },
  );

  test("streams that end well, or with an answer, are no failures, and are not reset", async () => {
    await using server = await startShop();
    await using shop = connectBalancer({ name: "shop", discovery: [server.address] });
    const client = protocols[name](shop.transportOptions);
    for (let index = 0; index < 3; index++) expect(await read(client, { messages: 5 })).toBe(5);
    await expect(read(client, { code: Code.NotFound })).rejects.toMatchObject({ code: Code.NotFound });
    await until("all are over", () => shop.nodes[0]?.calls === 4, 2_000);
    expect(shop.nodes[0]).toMatchObject({ failures: 0, inflight: 0 });
    expect(server.counts).toMatchObject({ started: 4, inflight: 0 });
  });

  test.each([
    { manager: "with the interceptor", interceptors: undefined },
    { manager: "without", interceptors: [] },
  ])(
    "those that are answered before all was sent end with their answer, $manager",
    async ({ interceptors }) => {
      await using server = await startShop();
      let open = 0;
      server.http2.on("stream", (stream) => {
        open++;
        stream.once("close", () => open--);
      });
      await using shop = connectBalancer({ name: "shop", discovery: [server.address] });
      const { transportOptions } = shop;
      const client = protocols[name]({
        ...transportOptions,
        interceptors: interceptors ?? transportOptions.interceptors,
      });
      let release = (): void => {};
      const held = new Promise<void>((resolve) => {
        release = resolve;
      });
      const messages = async function* () {
        yield ask({ reads: 1 });
        await held;
        yield ask();
      };
      expect(told(await client.fill(messages())).heard).toBe(1);
      const heard: number[] = [];
      for await (const message of client.talk(messages())) heard.push(told(message).heard);
      expect(heard).toEqual([1]);
      await until("nothing is in flight", () => shop.nodes[0]?.inflight === 0, 2_000);
      expect(shop.nodes[0]).toMatchObject({ calls: 2, failures: 0 });
      expect(connectionsOf(shop)).toEqual({ open: 1, idle: 1, connecting: 0, waiting: 0 });
      await until("the node knows", () => open === 0, 2_000);
      // What its caller says after that goes nowhere, and does no harm.
      release();
      expect(told(await client.get(ask())).from).toBe(server.address);
      expect(server.connections).toBe(1);
    },
  );

  test("one that the node closes without an answer fails at once, and not by some timeout", async () => {
    await using silent = await startRawServer((stream) => stream.close(constants.NGHTTP2_NO_ERROR));
    await using server = await startShop();
    await using shop = connectBalancer({
      name: "shop",
      discovery: [silent.address, server.address],
      policy: roundRobin(),
      timeouts: { attemptMs: 60_000, totalMs: 60_000 },
      health: { ejection: false },
      retry: { budget: false },
    });
    const client = protocols[name](shop.transportOptions);
    for (let index = 0; index < 4; index++) expect(told(await client.get(ask())).from).toBe(server.address);
    expect(silent.streams).toBeGreaterThanOrEqual(2);
    const ended = await Promise.allSettled([read(client, {}), read(client, {})]);
    const failed = ended.find(({ status }) => status === "rejected");
    expect(failed).toMatchObject({
      reason: { code: Code.Unavailable, rawMessage: "the stream was closed without an answer" },
    });
    expect(ended.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(shop.nodes[0]?.failures).toBe(silent.streams);
  });

  test("one that is cancelled before there is a connection is given up at once", async () => {
    await using mute = await startFront();
    await using shop = connectBalancer({
      name: "shop",
      discovery: [mute.address],
      timeouts: { connectMs: 30_000 },
    });
    const client = protocols[name](shop.transportOptions);
    const controller = new AbortController();
    const stream = read(client, {}, { signal: controller.signal }).catch((error: unknown) => error);
    await until("it waits for a connection", () => mute.connections === 1, 2_000);
    controller.abort();
    expect(await stream).toMatchObject({ code: Code.Canceled });
    expect(shop.nodes[0]).toMatchObject({ inflight: 0, failures: 0 });
    expect(shop.cluster.waitingForConnection).toBe(0);
  });

  test("one that is cancelled when all of it is here and not read is given up, too", async () => {
    await using server = await startShop();
    const shop = connectBalancer({ name: "shop", discovery: [server.address] });
    const client = protocols[name](shop.transportOptions);
    const controller = new AbortController();
    const messages = client.list(ask({ messages: 50 }), { signal: controller.signal });
    await messages[Symbol.asyncIterator]().next();
    await until("the node is done with it", () => server.counts.inflight === 0, 2_000);
    // A call that comes after it on the same connection: all that was sent before is here as well.
    await client.get(ask());
    controller.abort();
    await until("nothing is in flight", () => shop.nodes[0]?.inflight === 0, 2_000);
    expect(shop.nodes[0]?.failures).toBe(0);
    await shop.close();
  });
});

test("an answer of gRPC that says nothing of how the call went is held against the node", async () => {
  await using broken = await startRawServer((stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc+proto" });
    stream.end();
  });
  await using shop = connectBalancer({ name: "shop", discovery: [broken.address] });
  await expect(read(protocols.gRPC(shop.transportOptions), {})).rejects.toMatchObject({
    code: Code.Internal,
  });
  await until("it is over", () => shop.nodes[0]?.inflight === 0, 2_000);
  expect(shop.nodes[0]?.failures).toBe(1);
});
