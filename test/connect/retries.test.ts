/** What is tried again on another node, and what is not. */
import { constants } from "node:http2";
import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { connectBalancer } from "../../src/connect/index.ts";
import { list, roundRobin } from "../../src/index.ts";
import { startRawServer } from "./support/raw-server.ts";
import { startShop } from "./support/servers.ts";
import { ask, told } from "./support/shop.ts";
import { protocolNames, protocols } from "./support/transports.ts";

const withoutEjection = { ejection: false } as const;

/** A port on which nobody listens: that of a server which has just been closed. */
async function deadAddress(): Promise<string> {
  const server = await startShop();
  await server[Symbol.asyncDispose]();
  return server.address;
}

describe.each(protocolNames)("%s", (name) => {
  test("a refused connection sends calls and streams of any kind elsewhere", async () => {
    await using server = await startShop();
    const dead = await deadAddress();
    await using shop = connectBalancer({
      name: "shop",
      discovery: [dead, server.address],
      policy: roundRobin(),
      health: withoutEjection,
      retry: { budget: false },
    });
    const client = protocols[name](shop.transportOptions);
    const one = async function* () {
      yield ask();
    };
    const firstOf = async (messages: AsyncIterable<{ value: string }>) => {
      let first: { value: string } | undefined;
      for await (const message of messages) first ??= message;
      return first ?? { value: "{}" };
    };
    // All at once: after the first refusal the node gets no more calls.
    const kinds = [
      () => client.buy(ask()),
      () => client.fill(one()),
      () => firstOf(client.list(ask())),
      () => firstOf(client.talk(one())),
    ];
    const calls = kinds.flatMap((call) => [call(), call(), call(), call()]);
    for (const answer of await Promise.all(calls)) expect(told(answer).from).toBe(server.address);
    expect(server.counts.started).toBe(16);
    // The fault bit: half of the picks fell on the dead node.
    expect(shop.nodes.find(({ address }) => address === dead)?.failures).toBe(8);
  });

  test("Unavailable sends a call elsewhere only where its method says that it may run twice", async () => {
    await using good = await startShop();
    await using bad = await startShop();
    await using shop = connectBalancer({
      name: "shop",
      discovery: [bad.address, good.address],
      policy: roundRobin(),
      health: withoutEjection,
      retry: { budget: false },
    });
    const client = protocols[name](shop.transportOptions);
    const wish = ask({ code: Code.Unavailable, at: bad.address });
    for (let index = 0; index < 4; index++) expect(told(await client.get(wish)).from).toBe(good.address);
    expect(bad.counts.started).toBeGreaterThanOrEqual(2);
    const ended = await Promise.allSettled([client.buy(wish), client.buy(wish)]);
    expect(ended.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    const failed = ended.find(({ status }) => status === "rejected");
    expect(failed).toMatchObject({
      reason: { code: Code.Unavailable, rawMessage: `asked for by ${bad.address}` },
    });
  });

  test("what the session manager alone carries is tried again until it has a stream", async () => {
    await using server = await startShop();
    await using shop = connectBalancer({
      name: "shop",
      discovery: [await deadAddress(), server.address],
      policy: roundRobin(),
      health: withoutEjection,
    });
    const { interceptors, ...bare } = shop.transportOptions;
    expect(interceptors).toEqual([shop.interceptor]);
    const client = protocols[name]({ ...bare, interceptors: [] });
    for (let index = 0; index < 4; index++) expect(told(await client.buy(ask())).from).toBe(server.address);
    // The node's own Unavailable is an answer there, whatever the method.
    await expect(client.get(ask({ code: Code.Unavailable }))).rejects.toMatchObject({
      code: Code.Unavailable,
    });
  });
});

test("a refused stream is sent to another node, though the method may not run twice", async () => {
  await using refusing = await startRawServer((stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM));
  await using server = await startShop();
  await using shop = connectBalancer({
    name: "shop",
    discovery: [refusing.address, server.address],
    policy: roundRobin(),
    health: withoutEjection,
    retry: { budget: false },
  });
  const client = protocols.gRPC(shop.transportOptions);
  for (let index = 0; index < 6; index++) expect(told(await client.buy(ask())).from).toBe(server.address);
  expect(refusing.streams).toBeGreaterThanOrEqual(3);
});

test.each(protocolNames)(
  "%s: a stream that was refused is Unavailable, so that it may be sent again",
  async (name) => {
    await using refusing = await startRawServer((stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM));
    await using shop = connectBalancer({ name: "shop", discovery: [refusing.address] });
    const client = protocols[name](shop.transportOptions);
    const read = async (): Promise<void> => {
      for await (const _message of client.list(ask()));
    };
    await expect(read()).rejects.toMatchObject({
      code: Code.Unavailable,
      rawMessage: expect.stringMatching(/REFUSED_STREAM, unprocessed$/),
    });
    expect(shop.nodes[0]).toMatchObject({ inflight: 0, failures: 1 });
  },
);

test("a stream that was reset is not sent again where the method may not run twice", async () => {
  await using resetting = await startRawServer((stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR));
  await using server = await startShop();
  await using shop = connectBalancer({
    name: "shop",
    discovery: [resetting.address, server.address],
    policy: roundRobin(),
    health: withoutEjection,
    retry: { budget: false },
  });
  const client = protocols.gRPC(shop.transportOptions);
  const ended = await Promise.allSettled(Array.from({ length: 10 }, () => client.buy(ask())));
  expect(ended.filter(({ status }) => status === "rejected")).toHaveLength(5);
  expect(resetting.streams).toBe(5);
  expect(server.counts.started).toBe(5);
  for (let index = 0; index < 4; index++) expect(told(await client.get(ask())).from).toBe(server.address);
});

test.each([
  { name: "NO_ERROR", code: constants.NGHTTP2_NO_ERROR },
  { name: "ENHANCE_YOUR_CALM", code: constants.NGHTTP2_ENHANCE_YOUR_CALM },
])(
  "calls above the last stream of a GOAWAY ($name) are sent to another node, and are no failures",
  async ({ code }) => {
    // The first stream of a connection is processed, as it says; it is never answered.
    await using parting = await startRawServer((stream) => {
      if (stream.id === 1) setTimeout(() => stream.session.goaway(code, 1), 100);
    });
    await using server = await startShop();
    const nodes = list([parting.address]);
    await using shop = connectBalancer({ name: "shop", discovery: nodes, retry: { budget: false } });
    const client = protocols.gRPC(shop.transportOptions);
    const controller = new AbortController();
    const first = client.buy(ask(), { signal: controller.signal }).catch((error: unknown) => error);
    const others = Array.from({ length: 9 }, () => client.buy(ask()));
    // They are on the wire to the only node there is; then another joins.
    await expect.poll(() => parting.streams).toBe(10);
    nodes.add(server.address);
    const answers = await Promise.all(others);
    expect(answers.map((answer) => told(answer).from)).toEqual(others.map(() => server.address));
    expect(shop.nodes.find(({ address }) => address === parting.address)?.failures).toBe(0);
    controller.abort();
    // Any other code than NO_ERROR ends the connection at once, and with it what the node may have processed.
    const isOver = code !== constants.NGHTTP2_NO_ERROR;
    expect(await first).toMatchObject({ code: isOver ? Code.Unavailable : Code.Canceled });
  },
);

test("the budget bounds what retries cost", async () => {
  await using bad = await startShop();
  await using worse = await startShop();
  await using shop = connectBalancer({
    name: "shop",
    discovery: [bad.address, worse.address],
    health: withoutEjection,
    retry: { attempts: 3, backoffMs: 1, budget: { ratio: 0.1, minPerSecond: 0 } },
  });
  const client = protocols.gRPC(shop.transportOptions);
  for (let index = 0; index < 100; index++) {
    await expect(client.get(ask({ code: Code.Unavailable }))).rejects.toMatchObject({
      code: Code.Unavailable,
    });
  }
  const sent = bad.counts.started + worse.counts.started;
  expect(sent).toBeGreaterThan(100);
  expect(sent).toBeLessThanOrEqual(110);
});

test("a call that takes unusually long is sent a second time where it may run twice", async () => {
  await using slow = await startShop();
  await using fast = await startShop();
  await using shop = connectBalancer({
    name: "shop",
    discovery: [slow.address, fast.address],
    policy: roundRobin(),
    hedge: { afterMs: 50 },
    retry: { budget: false },
  });
  const client = protocols.gRPC(shop.transportOptions);
  const wish = ask({ afterMs: 20_000, at: slow.address });
  for (let index = 0; index < 4; index++) expect(told(await client.get(wish)).from).toBe(fast.address);
  expect(slow.counts.started).toBeGreaterThanOrEqual(1);
  await expect.poll(() => slow.counts.inflight).toBe(0);
  expect(slow.counts.aborted).toBe(slow.counts.started);
});

test("an interceptor of ours under a transport that is not says so", async () => {
  await using server = await startShop();
  await using shop = connectBalancer({ name: "shop", discovery: [server.address] });
  const client = protocols.gRPC({
    baseUrl: server.address,
    interceptors: [shop.interceptor],
  } as unknown as typeof shop.transportOptions);
  await expect(client.get(ask())).rejects.toThrow(/shop: the interceptor needs the sessionManager/);
});
