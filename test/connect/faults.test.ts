/** Nodes that die, freeze, and never speak, under load. */
import { createServer, type Socket } from "node:net";
import { Code } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { connectBalancer } from "../../src/connect/index.ts";
import { roundRobin } from "../../src/index.ts";
import { drive } from "../support/drive.ts";
import { printFigure } from "../support/figure.ts";
import { until } from "../support/until.ts";
import { startShop } from "./support/servers.ts";
import { ask, told } from "./support/shop.ts";
import { startShopProcess } from "./support/shop-process.ts";
import { protocolNames, protocols } from "./support/transports.ts";

test.each(protocolNames)(
  "%s: a node killed under load fails none of the calls that may be repeated",
  async (name) => {
    await using first = await startShopProcess();
    await using second = await startShopProcess();
    await using third = await startShopProcess();
    await using shop = connectBalancer({
      name: "shop",
      discovery: [first.address, second.address, third.address],
    });
    const client = protocols[name](shop.transportOptions);
    let bare = 0;
    const load = drive({ ratePerSecond: 300, seconds: 2 }, async (index) => {
      // Each third call may not be repeated: these show that the fault met calls under way.
      if (index % 3 !== 0) await client.get(ask({ afterMs: 20 }));
      else await client.buy(ask({ afterMs: 20 })).catch(() => bare++);
    });
    const busy = () => shop.nodes.find(({ address }) => address === first.address)?.inflight ?? 0;
    await until("calls are under way at the node", () => busy() >= 3, 5_000);
    first.signal("SIGKILL");
    const result = await load;
    printFigure(
      `Connect, ${name}: a node killed`,
      `${result.failed.length} of 400 failed, ${bare} of 200 not repeatable`,
    );
    expect(result.describeFailures()).toBe("");
    const node = shop.nodes.find(({ address }) => address === first.address);
    expect(node?.failures).toBeGreaterThanOrEqual(1);
    expect(bare).toBeLessThanOrEqual(node?.failures ?? 0);
    expect(shop.nodes.every(({ inflight }) => inflight === 0)).toBe(true);
  },
);

test("a frozen node is found by PING: its streams end, and its calls go elsewhere", async () => {
  await using frozen = await startShopProcess();
  await using live = await startShopProcess();
  await using shop = connectBalancer({
    name: "shop",
    discovery: [frozen.address, live.address],
    policy: roundRobin(),
    connections: { pingMs: 100, pingTimeoutMs: 200 },
    timeouts: { connectMs: 300 },
    retry: { budget: false },
  });
  const client = protocols.gRPC(shop.transportOptions);
  const wish = ask({ messages: 100_000, afterMs: 10 });
  const streams = [client.list(wish), client.list(wish)].map((stream) => stream[Symbol.asyncIterator]());
  const firsts = await Promise.all(streams.map((stream) => stream.next()));
  const index = firsts.findIndex(({ value }) => told(value).from === frozen.address);
  const stream = streams[index];
  const other = streams[1 - index];
  frozen.signal("SIGSTOP");
  const read = async (): Promise<void> => {
    while ((await stream?.next())?.done !== true);
  };
  await expect(read()).rejects.toMatchObject({
    code: Code.Unavailable,
    rawMessage: "connection lost: HTTP/2: no answer to a PING within 200 ms",
  });
  expect((await other?.next())?.done).toBe(false);
  const node = () => shop.nodes.find(({ address }) => address === frozen.address);
  expect(node()).toMatchObject({ failures: 1, inflight: 0 });
  const answers = await Promise.all(Array.from({ length: 6 }, () => client.buy(ask())));
  expect(answers.map((answer) => told(answer).from)).toEqual(answers.map(() => live.address));
  // The kernel of the frozen one took the new connection; its SETTINGS never came.
  expect(node()?.failures).toBeGreaterThanOrEqual(2);
  live.signal("SIGKILL");
  const readOther = async (): Promise<void> => {
    while ((await other?.next())?.done !== true);
  };
  await expect(readOther()).rejects.toMatchObject({ code: Code.Unavailable });
});

test("a connection that rested is asked before it is used: nothing is sent to a node that froze meanwhile", async () => {
  await using frozen = await startShopProcess();
  await using live = await startShopProcess();
  await using shop = connectBalancer({
    name: "shop",
    discovery: [frozen.address, live.address],
    policy: roundRobin(),
    connections: { pingMs: 50, pingTimeoutMs: 100 },
    timeouts: { connectMs: 200 },
  });
  const client = protocols.gRPC(shop.transportOptions);
  await Promise.all([client.buy(ask()), client.buy(ask())]);
  frozen.signal("SIGSTOP");
  // Waits for the wall clock: the connection has to have been silent for longer than pingMs.
  await new Promise((resolve) => setTimeout(resolve, 150));
  // Buy may not be sent twice: had it gone to the frozen node, it would be lost.
  const answers = await Promise.all(Array.from({ length: 4 }, () => client.buy(ask())));
  expect(answers.map((answer) => told(answer).from)).toEqual(answers.map(() => live.address));
  expect(shop.nodes.find(({ address }) => address === frozen.address)?.failures).toBeGreaterThanOrEqual(1);
});

test("a peer that accepts and never sends its SETTINGS costs connectMs and no call", async () => {
  const sockets = new Set<Socket>();
  const mute = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
  const { port } = mute.address() as { port: number };
  await using server = await startShop();
  await using shop = connectBalancer({
    name: "shop",
    discovery: [`http://127.0.0.1:${port}`, server.address],
    policy: roundRobin(),
    timeouts: { connectMs: 150 },
  });
  const client = protocols.Connect(shop.transportOptions);
  const answers = await Promise.all(Array.from({ length: 6 }, () => client.buy(ask())));
  expect(answers.map((answer) => told(answer).from)).toEqual(answers.map(() => server.address));
  expect(sockets.size).toBe(1);
  expect(shop.nodes[0]).toMatchObject({ failures: 3 });
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => mute.close(resolve));
});

test("a peer that does not speak HTTP/2 costs no call", async () => {
  const plain = createServer((socket) => {
    socket.on("error", () => {});
    socket.resume();
    socket.end("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
  });
  await new Promise<void>((resolve) => plain.listen(0, "127.0.0.1", resolve));
  const { port } = plain.address() as { port: number };
  await using server = await startShop();
  await using shop = connectBalancer({
    name: "shop",
    discovery: [`http://127.0.0.1:${port}`, server.address],
    policy: roundRobin(),
  });
  const client = protocols.gRPC(shop.transportOptions);
  for (let index = 0; index < 4; index++) expect(told(await client.buy(ask())).from).toBe(server.address);
  expect(shop.nodes[0]?.failures).toBeGreaterThanOrEqual(1);
  await new Promise((resolve) => plain.close(resolve));
});

test("with every node gone a call says which were tried and what they answered", async () => {
  const gone = await Promise.all([startShop(), startShop()]);
  for (const server of gone) await server[Symbol.asyncDispose]();
  await using shop = connectBalancer({ name: "shop", discovery: gone.map(({ address }) => address) });
  for (const name of protocolNames) {
    const client = protocols[name](shop.transportOptions);
    await expect(client.get(ask())).rejects.toMatchObject({
      code: Code.Unavailable,
      rawMessage: expect.stringMatching(
        /^shop: POST \/evenkeel\.test\.Shop\/Get: no node gave an answer in \d attempts: http:.* ECONNREFUSED; /,
      ),
      cause: { code: "ERR_NO_NODE" },
    });
    const list = client.list(ask())[Symbol.asyncIterator]();
    await expect(list.next()).rejects.toMatchObject({ code: Code.Unavailable });
  }
});
