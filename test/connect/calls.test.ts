/** Calls of each kind over each protocol, through a balancer over several servers. */
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectBalancer } from "../../src/connect/index.ts";
import { roundRobin } from "../../src/index.ts";
import { until } from "../support/until.ts";
import { type ShopServer, startShop } from "./support/servers.ts";
import { ask, told } from "./support/shop.ts";
import { protocolNames, protocols } from "./support/transports.ts";

let servers: ShopServer[] = [];

beforeAll(async () => {
  servers = await Promise.all([startShop(), startShop()]);
});

afterAll(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
});

const discovery = (): string[] => servers.map(({ address }) => address);

describe.each(protocolNames)("%s", (name) => {
  function setUp() {
    const shop = connectBalancer({ name: "shop", discovery: discovery(), policy: roundRobin() });
    return { shop, client: protocols[name](shop.transportOptions) };
  }

  test("unary calls go to both nodes in turn", async () => {
    const { shop, client } = setUp();
    await using _ = shop;
    const from = new Map<string, number>();
    for (let index = 0; index < 10; index++) {
      const answer = told(await client.get(ask()));
      from.set(answer.from, (from.get(answer.from) ?? 0) + 1);
    }
    expect([...from.values()]).toEqual([5, 5]);
    expect(shop.nodes.map(({ calls, inflight }) => [calls, inflight])).toEqual([
      [5, 0],
      [5, 0],
    ]);
    expect(shop.nodes.every(({ latencyMs }) => latencyMs > 0)).toBe(true);
  });

  test("streams of each kind carry their messages, and are counted until their end", async () => {
    const { shop, client } = setUp();
    await using _ = shop;
    const heard: number[] = [];
    for await (const message of client.list(ask({ messages: 4 }))) heard.push(told(message).heard);
    expect(heard).toEqual([0, 1, 2, 3]);

    const filled = await client.fill(
      (async function* () {
        for (let index = 0; index < 5; index++) yield ask();
      })(),
    );
    expect(told(filled).heard).toBe(5);

    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const answers: number[] = [];
    for await (const message of client.talk(
      (async function* () {
        yield ask();
        await held;
        yield ask();
      })(),
    )) {
      answers.push(told(message).heard);
      expect(shop.nodes.reduce((sum, { inflight }) => sum + inflight, 0)).toBe(1);
      release();
    }
    expect(answers).toEqual([1, 2]);
    await until("nothing is in flight", () => shop.nodes.every(({ inflight }) => inflight === 0), 2_000);
    expect(shop.nodes.reduce((sum, { calls }) => sum + calls, 0)).toBe(3);
  });

  test("a message of four megabytes goes both ways", async () => {
    const { shop, client } = setUp();
    await using _ = shop;
    const bytes = 4 * 1_024 * 1_024;
    const answer = await client.buy({ value: JSON.stringify({ bytes, padding: "y".repeat(bytes) }) });
    expect(told(answer).bytes).toBeGreaterThan(bytes);
    expect(answer.value.length).toBeGreaterThan(bytes);
  });

  test("the node's own error reaches the caller, and is held against the node by its code", async () => {
    const { shop, client } = setUp();
    await using _ = shop;
    const notFound = await client.get(ask({ code: Code.NotFound })).catch((error: unknown) => error);
    expect(ConnectError.from(notFound)).toMatchObject({ code: Code.NotFound });
    expect(ConnectError.from(notFound).rawMessage).toMatch(/^asked for by http/);
    expect(shop.nodes.reduce((sum, { failures }) => sum + failures, 0)).toBe(0);
    const internal = await client.get(ask({ code: Code.Internal })).catch((error: unknown) => error);
    expect(ConnectError.from(internal)).toMatchObject({ code: Code.Internal });
    expect(shop.nodes.reduce((sum, { failures }) => sum + failures, 0)).toBe(1);
    expect(shop.nodes.reduce((sum, { calls }) => sum + calls, 0)).toBe(2);
  });

  test("a call that its caller cancels ends at the node, and says nothing of it", async () => {
    const { shop, client } = setUp();
    await using _ = shop;
    const aborted = servers.reduce((sum, { counts }) => sum + counts.aborted, 0);
    const controller = new AbortController();
    const call = client.get(ask({ afterMs: 30_000 }), { signal: controller.signal });
    await until("it is at a node", () => servers.some(({ counts }) => counts.inflight === 1), 2_000);
    controller.abort();
    await expect(call).rejects.toMatchObject({ code: Code.Canceled });
    expect(shop.nodes.map(({ inflight, failures }) => inflight + failures)).toEqual([0, 0]);
    await until(
      "the node knows",
      () => servers.reduce((sum, { counts }) => sum + counts.aborted, 0) === aborted + 1,
      2_000,
    );
  });

  test("a stream that its caller cancels ends at the node, and says nothing of it", async () => {
    const { shop, client } = setUp();
    await using _ = shop;
    const controller = new AbortController();
    const read = async (): Promise<void> => {
      for await (const _message of client.list(ask({ messages: 1_000, afterMs: 20 }), {
        signal: controller.signal,
      })) {
        controller.abort();
      }
    };
    await expect(read()).rejects.toMatchObject({ code: Code.Canceled });
    await until("the node knows", () => servers.every(({ counts }) => counts.inflight === 0), 2_000);
    expect(shop.nodes.map(({ inflight, failures }) => inflight + failures)).toEqual([0, 0]);
  });

  test("a call whose time runs out is DeadlineExceeded, and held against the node", async () => {
    const { shop, client } = setUp();
    await using _ = shop;
    const call = client.get(ask({ afterMs: 30_000 }), { timeoutMs: 100 });
    await expect(call).rejects.toMatchObject({ code: Code.DeadlineExceeded });
    expect(shop.nodes.reduce((sum, { failures }) => sum + failures, 0)).toBe(1);
    expect(shop.nodes.every(({ inflight }) => inflight === 0)).toBe(true);
  });

  test("an answer that is larger than the caller takes says nothing of the node", async () => {
    const { shop } = setUp();
    await using _ = shop;
    const client = protocols[name]({ ...shop.transportOptions, ...{ readMaxBytes: 1_000 } });
    const call = client.get(ask({ bytes: 200_000 }));
    await expect(call).rejects.toMatchObject({ code: Code.ResourceExhausted });
    const read = async (): Promise<void> => {
      for await (const _message of client.list(ask({ bytes: 200_000 })));
    };
    await expect(read()).rejects.toMatchObject({ code: Code.ResourceExhausted });
    await until("nothing is in flight", () => shop.nodes.every(({ inflight }) => inflight === 0), 2_000);
    expect(shop.nodes.map(({ failures }) => failures)).toEqual([0, 0]);
    await until("the nodes know", () => servers.every(({ counts }) => counts.inflight === 0), 2_000);
  });
});
