/** The time that calls have: their own, and that of the call in whose handler they are made. */
import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { connectBalancer } from "../../src/connect/index.ts";
import { withDeadline } from "../../src/index.ts";
import { CallContext, currentContext, runInContext } from "../../src/resilience/call-context.ts";
import { until } from "../support/until.ts";
import { startRawServer } from "./support/raw-server.ts";
import { startShop } from "./support/servers.ts";
import { ask, told } from "./support/shop.ts";
import { protocolNames, protocols } from "./support/transports.ts";

const one = async function* () {
  yield ask();
};

describe.each(protocolNames)("%s", (name) => {
  test("a call and a stream tell the node what is left of the deadline that they inherit", async () => {
    await using server = await startShop();
    await using shop = connectBalancer({ name: "shop", discovery: [server.address] });
    const client = protocols[name](shop.transportOptions);
    expect(told(await client.get(ask())).leftMs).toBeUndefined();
    await withDeadline(5_000, async () => {
      const lefts = [
        told(await client.get(ask())).leftMs,
        told(await client.fill(one())).leftMs,
        // Its own is longer, and does not hold.
        told(await client.get(ask(), { timeoutMs: 60_000 })).leftMs,
        told(await client.fill(one(), { timeoutMs: 60_000 })).leftMs,
      ];
      for (const leftMs of lefts) {
        expect(leftMs).toBeGreaterThan(1_000);
        expect(leftMs).toBeLessThan(5_000);
      }
      expect(told(await client.get(ask(), { timeoutMs: 800 })).leftMs).toBeLessThanOrEqual(800);
    });
  });

  test("what is inherited ends a call and a stream", async () => {
    await using server = await startShop();
    await using shop = connectBalancer({ name: "shop", discovery: [server.address] });
    const client = protocols[name](shop.transportOptions);
    // The node would end it sooner by itself, if it were told: this one is not asked to.
    const wish = ask({ afterMs: 30_000 });
    await withDeadline(100, async () => {
      await expect(client.get(wish)).rejects.toMatchObject({ code: Code.DeadlineExceeded });
      await expect(client.get(wish)).rejects.toMatchObject({ code: Code.DeadlineExceeded });
    });
    await withDeadline(100, async () => {
      const read = async (): Promise<void> => {
        for await (const _message of client.list(ask({ messages: 1_000, afterMs: 20 })));
      };
      await expect(read()).rejects.toMatchObject({ code: Code.DeadlineExceeded });
      expect(currentContext()?.failedBelow).toBe(true);
    });
    await until("the node is rid of them", () => server.counts.inflight === 0, 2_000);
    await until("nothing is in flight", () => shop.nodes[0]?.inflight === 0, 2_000);
  });

  test("the handler's abort ends its calls and streams, which says nothing of the node", async () => {
    await using server = await startShop();
    await using shop = connectBalancer({ name: "shop", discovery: [server.address] });
    const client = protocols[name](shop.transportOptions);
    const controller = new AbortController();
    const context = new CallContext({ endsAt: Number.POSITIVE_INFINITY, signal: controller.signal });
    const ended = runInContext(context, () => {
      const read = async (): Promise<void> => {
        for await (const _message of client.list(ask({ messages: 1_000, afterMs: 20 })));
      };
      return Promise.allSettled([client.get(ask({ afterMs: 30_000 })), read()]);
    });
    await until("both are at the node", () => server.counts.inflight === 2, 2_000);
    controller.abort(new Error("the page was closed"));
    for (const result of await ended) {
      expect(result).toMatchObject({ reason: { code: Code.Canceled, rawMessage: "the page was closed" } });
    }
    await until("the node knows", () => server.counts.aborted === 2, 2_000);
    expect(shop.nodes[0]).toMatchObject({ inflight: 0, failures: 0 });
  });
});

test("attemptMs gives a slow node up for another one, and totalMs ends the whole; streams have neither", async () => {
  await using slow = await startShop();
  await using fast = await startShop();
  await using shop = connectBalancer({
    name: "shop",
    discovery: [slow.address, fast.address],
    timeouts: { attemptMs: 100, totalMs: 400 },
    retry: { budget: false },
  });
  const client = protocols.gRPC(shop.transportOptions);
  for (let index = 0; index < 6; index++) {
    expect(told(await client.get(ask({ afterMs: 30_000, at: slow.address }))).from).toBe(fast.address);
  }
  expect(slow.counts.started).toBeGreaterThanOrEqual(1);
  await expect(client.get(ask({ afterMs: 30_000 }))).rejects.toMatchObject({
    code: Code.DeadlineExceeded,
    cause: { code: "ERR_DEADLINE" },
  });
  // Its first message, and its headers with it, come after both.
  let messages = 0;
  for await (const _message of client.list(ask({ messages: 1, afterMs: 600 }))) messages++;
  expect(messages).toBe(1);
});

test("limits refuse as ResourceExhausted before anything is sent", async () => {
  await using server = await startShop();
  await using shop = connectBalancer({
    name: "shop",
    discovery: [server.address],
    limits: { inflight: 2, queue: 0 },
  });
  const client = protocols.gRPC(shop.transportOptions);
  const ended = await Promise.allSettled(Array.from({ length: 5 }, () => client.get(ask({ afterMs: 50 }))));
  const refused = ended.filter(({ status }) => status === "rejected");
  expect(refused).toHaveLength(3);
  for (const result of refused) expect(result).toMatchObject({ reason: { code: Code.ResourceExhausted } });
  expect(server.counts.started).toBe(2);
});

test.each(protocolNames)(
  "%s: a stream whose own time runs out before any answer is held against the node",
  async (name) => {
    await using mute = await startRawServer(() => {});
    await using shop = connectBalancer({ name: "shop", discovery: [mute.address] });
    const client = protocols[name](shop.transportOptions);
    const read = async (): Promise<void> => {
      for await (const _message of client.list(ask(), { timeoutMs: 200 }));
    };
    await expect(read()).rejects.toMatchObject({ code: Code.DeadlineExceeded });
    expect(shop.nodes[0]).toMatchObject({ inflight: 0, failures: 1 });
    await expect(client.fill(one(), { timeoutMs: 200 })).rejects.toMatchObject({
      code: Code.DeadlineExceeded,
    });
    expect(shop.nodes[0]).toMatchObject({ inflight: 0, failures: 2 });
  },
);
