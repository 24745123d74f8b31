/** Interceptors behind ours, which run for each attempt: those that throw, that give up, and that answer for themselves. */
import { Code, type Interceptor } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import {
  type ConnectBalancer,
  type ConnectBalancerOptions,
  connectBalancer,
} from "../../src/connect/index.ts";
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
