/** Interceptors behind ours, which run for each attempt: those that throw, that give up, and that answer for themselves. */
import { create } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type Interceptor,
  type UnaryRequest,
  type UnaryResponse,
} from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import {
  type ConnectBalancer,
  type ConnectBalancerOptions,
  connectBalancer,
} from "../../src/connect/index.ts";
import { until } from "../support/until.ts";
import { connectionsOf } from "./support/connections.ts";
import { startRawServer } from "./support/raw-server.ts";
import { startShop } from "./support/servers.ts";
import { ask, type Wish } from "./support/shop.ts";
import { protocols, type ShopClient } from "./support/transports.ts";

function clientOf({ transportOptions }: ConnectBalancer, behind: Interceptor): ShopClient {
  return protocols.gRPC({
    ...transportOptions,
    interceptors: [...transportOptions.interceptors, behind],
  });
}

describe("one that is not async and throws", () => {
  /** The attempts from this one on have no token. */
  function withTokens(before: number): Interceptor {
    let attempts = 0;
    return (next) => (request) => {
      if (++attempts >= before) throw new Error("no token");
      return next(request);
    };
  }

  const cases: readonly {
    readonly what: string;
    readonly from: number;
    readonly wish: Wish;
    readonly options: Pick<ConnectBalancerOptions, "retry" | "hedge">;
  }[] = [
    { what: "the first attempt", from: 1, wish: {}, options: {} },
    {
      what: "a retry at once",
      from: 2,
      wish: { code: Code.Unavailable },
      options: { retry: { backoffMs: 0 } },
    },
    {
      what: "a retry after a while",
      from: 2,
      wish: { code: Code.Unavailable },
      options: { retry: { backoffMs: 20 } },
    },
    { what: "a hedge", from: 2, wish: { afterMs: 30_000 }, options: { hedge: { afterMs: 20 } } },
  ];

  test.each(cases)("fails the call in $what, and nothing else", async ({ from, wish, options }) => {
    await using first = await startShop();
    await using second = await startShop();
    const shop = connectBalancer({
      name: "shop",
      discovery: [first.address, second.address],
      health: { ejection: false },
      ...options,
      retry: { budget: false, ...options.retry },
    });
    const call = clientOf(shop, withTokens(from)).get(ask(wish));
    await expect(call).rejects.toMatchObject({ code: Code.Internal, rawMessage: "no token" });
    expect(first.counts.started + second.counts.started).toBe(from - 1);
    expect(shop.nodes.map(({ inflight }) => inflight)).toEqual([0, 0]);
    // It waits for calls under way.
    await shop.close();
  });
});

test("one that gives up first has the stream cancelled at the node", async () => {
  // It never answers.
  await using slow = await startRawServer((stream) => stream.resume());
  const shop = connectBalancer({ name: "shop", discovery: [slow.address], health: { ejection: false } });
  const client = clientOf(shop, (next) => async (request) => {
    const answer = next(request);
    answer.catch(() => {});
    await until("the node has it", () => slow.open === 1, 2_000);
    throw new ConnectError("enough", Code.Aborted);
  });
  for (let index = 0; index < 3; index++) {
    await expect(client.get(ask())).rejects.toMatchObject({ code: Code.Aborted });
    await until("the node knows", () => slow.open === 0, 2_000);
  }
  expect(slow.streams).toBe(3);
  expect(connectionsOf(shop)).toEqual({ open: 1, idle: 1, connecting: 0, waiting: 0 });
  expect(shop.nodes[0]).toMatchObject({ inflight: 0, failures: 0 });
  await shop.close();
});

test("one that holds an error up does not hide it, though the node had not read all of the request", async () => {
  await using strict = await startRawServer((stream) => {
    stream.once("data", () => {
      stream.pause();
      stream.respond({ ":status": 400, "content-type": "application/json" });
      stream.end('{"code":"invalid_argument","message":"too much"}');
    });
  });
  await using shop = connectBalancer({ name: "shop", discovery: [strict.address] });
  const { transportOptions } = shop;
  const held: Interceptor = (next) => async (request) => {
    try {
      return await next(request);
    } catch (error) {
      await until("the node need not read on", () => strict.open === 0, 2_000);
      throw error;
    }
  };
  const client = protocols.Connect({
    ...transportOptions,
    interceptors: [...transportOptions.interceptors, held],
  });
  await expect(client.get({ value: "x".repeat(2_000_000) })).rejects.toMatchObject({
    code: Code.InvalidArgument,
    rawMessage: "too much",
  });
  expect(shop.nodes[0]).toMatchObject({ inflight: 0, failures: 0 });
  expect(strict.streams).toBe(1);
});

describe("one that answers for the node", () => {
  const standIn = (request: UnaryRequest): UnaryResponse => ({
    stream: false,
    service: request.service,
    method: request.method,
    message: create(request.method.output, ask({ bytes: 0 })),
    header: new Headers(),
    trailer: new Headers(),
  });

  test("has a stream cancelled that the node is still at", async () => {
    await using mute = await startRawServer((stream) => stream.resume());
    const shop = connectBalancer({ name: "shop", discovery: [mute.address] });
    const client = clientOf(shop, (next) => async (request) => {
      if (request.stream) return await next(request);
      next(request).catch(() => {});
      await until("the node has it", () => mute.open === 1, 2_000);
      return standIn(request);
    });
    for (let index = 0; index < 3; index++) {
      expect(await client.get(ask())).toMatchObject(ask({ bytes: 0 }));
      await until("the node knows", () => mute.open === 0, 2_000);
    }
    expect(mute.streams).toBe(3);
    expect(connectionsOf(shop)).toEqual({ open: 1, idle: 1, connecting: 0, waiting: 0 });
    expect(shop.nodes[0]).toMatchObject({ inflight: 0, failures: 0 });
    await shop.close();
  });

  test("does not hide that the node failed", async () => {
    const gone = await startShop();
    await gone[Symbol.asyncDispose]();
    await using shop = connectBalancer({
      name: "shop",
      discovery: [gone.address],
      health: { ejection: false },
    });
    const client = clientOf(shop, (next) => async (request) => {
      if (request.stream) return await next(request);
      return await next(request).catch(() => standIn(request));
    });
    expect(await client.get(ask())).toMatchObject(ask({ bytes: 0 }));
    expect(shop.nodes[0]).toMatchObject({ inflight: 0, failures: 1 });
  });
});
