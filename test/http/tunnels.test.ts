/** Connections that are handed over: CONNECT and upgrade. They are in flight until their socket closes. */

import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { expectIdle, expectNoBlame, inflight, rejection, startBalancer } from "./support/balancers.ts";
import { listen, startServer, type TestServer } from "./support/server.ts";

/** Accepts upgrades and tunnels, and sends everything back in upper case. */
async function startEcho(refusal?: string): Promise<TestServer> {
  const server = createServer((_, response) => response.writeHead(400).end("no upgrade"));
  const shout = (socket: Duplex): void => {
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => socket.write(chunk.toString().toUpperCase()));
    socket.on("end", () => socket.end());
  };
  server.on("upgrade", (_: IncomingMessage, socket: Duplex) => {
    if (refusal !== undefined) {
      socket.end(`HTTP/1.1 ${refusal}\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: shout\r\n\r\n");
    shout(socket);
  });
  server.on("connect", (request: IncomingMessage, socket: Duplex) => {
    socket.write(`HTTP/1.1 200 Connected\r\nx-target: ${request.url}\r\n\r\n`);
    shout(socket);
  });
  return await listen(server, []);
}

async function exchangeWords(socket: Duplex, word: string): Promise<string> {
  const answered = once(socket, "data") as Promise<[Buffer]>;
  socket.write(word);
  return (await answered)[0].toString();
}

test("upgrade: data flows both ways, beyond any deadline, and the call ends with its socket", async () => {
  await using server = await startEcho();
  await using balancer = startBalancer([server], {
    timeouts: { totalMs: 150, attemptMs: 100, bodyIdleMs: 100 },
  });
  const { socket, headers } = await balancer.upgrade({ path: "/", protocol: "shout" });
  expect(headers.upgrade).toBe("shout");
  expect(await exchangeWords(socket, "hello")).toBe("HELLO");
  await sleep(400);
  expect(await exchangeWords(socket, "again")).toBe("AGAIN");
  expect(inflight(balancer)).toBe(1);
  socket.end();
  await once(socket, "close");
  await expectIdle(balancer);
  expect(balancer.nodes[0]).toMatchObject({ calls: 1, failures: 0 });
});

test("connect: a tunnel by CONNECT, in callback form", async () => {
  await using server = await startEcho();
  await using balancer = startBalancer([server], { timeouts: { totalMs: 150 } });
  const { socket, statusCode, headers } = await new Promise<{
    socket: Duplex;
    statusCode: number;
    headers: Record<string, unknown>;
  }>((resolve, reject) => {
    balancer.connect({ origin: "http://orders", path: "db.internal:5432" }, (error, data) => {
      if (error === null) resolve(data);
      else reject(error);
    });
  });
  expect(statusCode).toBe(200);
  expect(headers["x-target"]).toBe("db.internal:5432");
  await sleep(300);
  expect(await exchangeWords(socket, "select")).toBe("SELECT");
  expect(inflight(balancer)).toBe(1);
  socket.destroy();
  await expectIdle(balancer);
});

test("an upgrade that the server closes ends the call", async () => {
  await using server = await startEcho();
  await using balancer = startBalancer([server]);
  const { socket } = await balancer.upgrade({ path: "/" });
  socket.on("error", () => {});
  for (const accepted of server.open) accepted.destroy();
  await expectIdle(balancer);
});

test("an upgrade that is answered otherwise is an error, and not the node's failure", async () => {
  await using server = await startEcho("426 Upgrade Required");
  await using balancer = startBalancer([server]);
  expect(await rejection(balancer.upgrade({ path: "/" }))).toMatchObject({ code: "UND_ERR_SOCKET" });
  await expectIdle(balancer);
  expectNoBlame(balancer);
});

test("an upgrade is tried on another node after a 503", async () => {
  await using bad = await startEcho("503 Service Unavailable");
  await using good = await startEcho();
  await using balancer = startBalancer([bad, good]);
  const { socket } = await balancer.upgrade({ path: "/" });
  expect(await exchangeWords(socket, "x")).toBe("X");
  socket.destroy();
  await expectIdle(balancer);
});

test("an upgrade waits no longer than attemptMs for its answer", async () => {
  await using server = await startServer(() => {});
  server.server.on("upgrade", () => {});
  await using balancer = startBalancer([server], { timeouts: { attemptMs: 100 }, retry: false });
  expect(await rejection(balancer.upgrade({ path: "/" }))).toMatchObject({ code: "ERR_DEADLINE" });
});

test("destroy ends upgraded connections, close waits for them", async () => {
  await using server = await startEcho();
  await using balancer = startBalancer([server]);
  const { socket } = await balancer.upgrade({ path: "/" });
  socket.on("error", () => {});
  let closed = false;
  const closing = balancer.close().then(() => {
    closed = true;
  });
  await sleep(50);
  expect(closed).toBe(false);
  expect(await exchangeWords(socket, "still")).toBe("STILL");
  const gone = once(socket, "close");
  await balancer.destroy();
  await closing;
  await gone;
  expect(inflight(balancer)).toBe(0);
});

test("destroy ends an upgraded connection also after its deadlines have passed", async () => {
  await using server = await startEcho();
  await using balancer = startBalancer([server], { timeouts: { attemptMs: 50, totalMs: 50 } });
  const { socket } = await balancer.upgrade({ path: "/" });
  socket.on("error", () => {});
  await sleep(150);
  const gone = once(socket, "close");
  await balancer.destroy();
  await gone;
});
