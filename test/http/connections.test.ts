/** The connections to a node: their number, their loss, and what flows over them. */
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { list } from "../../src/index.ts";
import { expectIdle, inflight, rejection, startBalancer } from "./support/balancers.ts";
import { RecordingHandler } from "./support/recording-handler.ts";
import { startServer, startTcpServer } from "./support/server.ts";

const get = { path: "/", method: "GET" } as const;
const answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

test("connections.perNode is the most that a node gets", async () => {
  await using server = await startServer((_, response) => setTimeout(() => response.end("ok"), 20));
  await using balancer = startBalancer([server], { connections: { perNode: 3 } });
  const calls = Array.from({ length: 20 }, async () => (await balancer.request(get)).body.text());
  expect(await Promise.all(calls)).toEqual(Array.from({ length: 20 }, () => "ok"));
  expect(server.peak).toBe(3);
});

test("connections are kept and used again", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  for (let call = 0; call < 10; call++) await (await balancer.request(get)).body.text();
  // undici's Pool may open a second one while it has not yet noticed that the first is free.
  expect(server.accepted).toBeLessThanOrEqual(2);
});

test("connections.idleMs closes what is not used, whatever the server hints", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server], { connections: { idleMs: 100 } });
  await (await balancer.request(get)).body.text();
  for (let waited = 0; waited < 300 && server.open.size > 0; waited++) await sleep(10);
  expect(server.open.size).toBe(0);
});

test("a server that closes idle connections fails no GET", async () => {
  // Each connection serves a few requests, and is closed a moment later: often just as the next one is sent.
  await using server = await startTcpServer((socket) => {
    let served = 0;
    socket.on("data", () => {
      socket.write(answer);
      if (++served === 3) setTimeout(() => socket.end(), Math.random() * 2);
    });
  });
  await using balancer = startBalancer([server], { retry: { budget: false } });
  const failed: unknown[] = [];
  const caller = async (): Promise<void> => {
    for (let call = 0; call < 100; call++) {
      await balancer
        .request(get)
        .then(({ body }) => body.text())
        .catch((error) => failed.push(error));
      if (call % 3 === 0) await sleep(Math.random() * 3);
    }
  };
  await Promise.all(Array.from({ length: 5 }, caller));
  expect(failed).toEqual([]);
  expect(server.accepted).toBeGreaterThan(5);
});

test("a connection that is closed unanswered is tried again for a GET, not for a POST", async () => {
  let connections = 0;
  await using server = await startTcpServer((socket) => {
    const closes = ++connections % 2 === 1;
    socket.on("data", () => (closes ? socket.end() : socket.end(answer)));
  });
  await using balancer = startBalancer([server], { health: { ejection: false } });
  expect(await (await balancer.request(get)).body.text()).toBe("ok");
  const error = await rejection(balancer.request({ path: "/", method: "POST", body: "x" }));
  expect(error).toMatchObject({ code: "ERR_NO_NODE", cause: { code: "UND_ERR_SOCKET" } });
});

test.each<[string, (socket: Socket) => void]>([
  ["cut short", (socket) => socket.end()],
  ["reset", (socket) => socket.resetAndDestroy()],
])("a body that is %s is an error, never complete, never tried again", async (_, end) => {
  await using bad = await startTcpServer((socket) => {
    socket.once("data", () => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it");
      setTimeout(() => end(socket), 20);
    });
  });
  await using chunked = await startTcpServer((socket) => {
    socket.once("data", () => {
      socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n");
      setTimeout(() => end(socket), 20);
    });
  });
  await using good = await startServer();
  for (const node of [bad, chunked]) {
    await using balancer = startBalancer([node, good]);
    const { statusCode, body } = await balancer.request(get);
    expect(statusCode).toBe(200);
    expect(await rejection(body.text())).toMatchObject({
      code: expect.stringMatching(/UND_ERR|ECONNRESET|HPE/),
    });
    const response = await balancer.fetch("/");
    await expect(response.text()).rejects.toBeInstanceOf(TypeError);
    await expectIdle(balancer);
    expect(balancer.nodes[0]).toMatchObject({ failures: 2 });
  }
  expect(good.arrivals).toHaveLength(0);
});

test("a slow reader slows the server down: little is held in memory", async () => {
  const total = 64 * 1_024 * 1_024;
  let written = 0;
  await using server = await startServer((_, response) => {
    const chunk = Buffer.alloc(64 * 1_024);
    const write = (): void => {
      while (written < total && !response.destroyed) {
        written += chunk.length;
        if (!response.write(chunk)) {
          response.once("drain", write);
          return;
        }
      }
      response.end();
    };
    write();
  });
  await using balancer = startBalancer([server]);
  const { body } = await balancer.request(get);
  // Long enough for all of it, if nothing held it back. The kernel's buffers take some megabytes.
  await sleep(500);
  expect(written).toBeLessThan(total / 2);
  let received = 0;
  for await (const chunk of body) received += (chunk as Buffer).length;
  expect(received).toBe(total);
});

test("a node that discovery removes finishes what it has begun, and is then disconnected", async () => {
  const finish: (() => void)[] = [];
  await using leaving = await startServer((_, response) => {
    response.write("first ");
    finish.push(() => response.end("last"));
  });
  await using staying = await startServer();
  const nodes = list([leaving.address, staying.address]);
  await using balancer = startBalancer([], { discovery: nodes });
  const handler = new RecordingHandler();
  balancer.dispatch(get, handler);
  while (handler.chunks.length === 0) await sleep(5);
  nodes.remove(leaving.address);
  await sleep(30);
  expect(balancer.nodes[0]).toMatchObject({ state: "draining", inflight: 1 });
  expect(await (await balancer.request(get)).body.text()).toBe("ok");
  finish[0]?.();
  await handler.done;
  expect(handler.body).toBe("first last");
  expect(handler.events.at(-1)).toBe("end");
  expect(balancer.nodes.map(({ address }) => address)).toEqual([staying.address]);
  while (leaving.open.size > 0) await sleep(5);
});

test("connections.drainMs cuts what a removed node does not finish", async () => {
  await using leaving = await startServer((_, response) => response.write("first "));
  await using staying = await startServer();
  const nodes = list([leaving.address, staying.address]);
  await using balancer = startBalancer([], { discovery: nodes, connections: { drainMs: 100 } });
  const { body } = await balancer.request(get);
  nodes.remove(leaving.address);
  expect(await rejection(body.text())).toBeInstanceOf(Error);
  while (leaving.open.size > 0) await sleep(5);
  expect(inflight(balancer)).toBe(0);
});
