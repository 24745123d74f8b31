/** What httpCheck sends, and what it makes of each kind of answer. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { Cluster, httpCheck } from "../../src/index.ts";
import {
  type Arrival,
  arrive,
  listen,
  refusingAddress,
  startServer,
  startTcpServer,
} from "../http/support/server.ts";
import { until } from "../support/until.ts";
import { nodeOf, often, reasonWhen, startChecked, untilAtLeast } from "./support/checked.ts";

test("a probe is one request on a connection of its own", async () => {
  await using server = await startServer();
  const check = httpCheck({
    ...often,
    path: "/health?deep=1",
    method: "POST",
    headers: { "X-Probe": "yes", authorization: "Bearer t" },
  });
  await using balancer = startChecked([server], check);
  await untilAtLeast(() => server.arrivals.length, 3);
  for (const { method, url, headers } of server.arrivals) {
    expect([method, url]).toEqual(["POST", "/health?deep=1"]);
    expect(headers).toMatchObject({
      host: `127.0.0.1:${server.port}`,
      "user-agent": "evenkeel-check",
      "x-probe": "yes",
      authorization: "Bearer t",
      connection: "close",
    });
  }
  expect(server.accepted).toBe(server.arrivals.length);
  expect(server.peak).toBe(1);
  expect(nodeOf(balancer).state).toBe("ready");
  expect(nodeOf(balancer).calls).toBe(0);
});

test("a status that does not pass takes the node out, and one that does brings it back", async () => {
  let status = 503;
  await using sick = await startServer((request, response) => {
    response.statusCode = request.url === "/health" ? status : 200;
    response.end("answer");
  });
  await using well = await startServer();
  const check = httpCheck({ ...often, fall: 3, path: "/health" });
  await using balancer = startChecked([sick, well], check);
  expect(await reasonWhen("down", balancer)).toMatch(/^check failed: status 503 \(\d+ in a row\)$/);
  const { url } = await balancer.fetch("/v1/orders");
  expect(new URL(url).pathname).toBe("/v1/orders");
  expect(sick.arrivals.filter((arrival) => arrival.url !== "/health")).toEqual([]);
  status = 204;
  expect(await reasonWhen("warming", balancer)).toBe("came back lately");
  await balancer.fetch("/v1/orders");
  expect(sick.arrivals.filter((arrival) => arrival.url === "/v1/orders")).toHaveLength(1);
});

test("a redirect is not followed: its status counts as it is", async () => {
  await using elsewhere = await startServer();
  await using server = await startServer((_, response) => {
    response.writeHead(302, { location: `${elsewhere.address}/login` }).end();
  });
  await using strict = startChecked([server], httpCheck({ ...often, path: "/health" }));
  expect(await reasonWhen("down", strict)).toMatch(/^check failed: status 302/);
  const before = server.arrivals.length;
  await using lenient = startChecked(
    [server],
    httpCheck({ ...often, path: "/health", statuses: [200, [301, 303]] }),
  );
  await strict.destroy();
  await untilAtLeast(() => server.arrivals.length, before + 5);
  expect(nodeOf(lenient).state).toBe("ready");
  expect(elsewhere.arrivals).toEqual([]);
});

test("interim answers come before the one that counts", async () => {
  await using server = await startServer((_, response) => {
    response.writeProcessing();
    response.writeEarlyHints({ link: "</a>; rel=preload" });
    response.end();
  });
  await using balancer = startChecked([server], httpCheck({ ...often, path: "/health" }));
  await untilAtLeast(() => server.arrivals.length, 3);
  expect(nodeOf(balancer).state).toBe("ready");
});

test.each<[string, (response: import("node:http").ServerResponse) => void]>([
  ["no answer", () => {}],
  ["an answer whose body does not end", (response) => response.write("begun")],
])("%s within the time fails the check", async (_, answer) => {
  await using server = await startServer((_, response) => answer(response));
  const check = httpCheck({ ...often, timeoutMs: 100, path: "/health" });
  await using balancer = startChecked([server], check);
  expect(await reasonWhen("down", balancer)).toMatch(/^check failed: no answer within 100 ms/);
  await until("the connection is given up", () => server.open.size <= 1, 5_000);
});

test("an answer that breaks off fails the check", async () => {
  await using server = await startServer((_, response) => {
    response.writeHead(200, { "content-length": 100 });
    response.write("begun", () => response.destroy());
  });
  await using balancer = startChecked([server], httpCheck({ ...often, path: "/health" }));
  expect(await reasonWhen("down", balancer)).toMatch(/^check failed: /);
});

test("what is no HTTP fails the check", async () => {
  await using server = await startTcpServer((socket) => socket.end("SSH-2.0-OpenSSH_9.6\r\n"));
  await using balancer = startChecked([server], httpCheck({ ...often, path: "/health" }));
  expect(await reasonWhen("down", balancer)).toMatch(/^check failed: /);
});

test("of a body no more than 64 KiB is read, and its status passes", async () => {
  let sent = 0;
  let closed = 0;
  const piece = Buffer.alloc(16 * 1024);
  await using server = await startServer((_, response) => {
    response.once("close", () => closed++);
    const send = () => {
      while (!response.destroyed && response.write(piece)) sent += piece.length;
      sent += piece.length;
    };
    response.on("drain", send);
    send();
  });
  await using balancer = startChecked([server], httpCheck({ ...often, path: "/health" }));
  await untilAtLeast(() => closed, 5);
  expect(nodeOf(balancer).state).toBe("ready");
  // What the sockets' buffers on both sides take up comes on top.
  expect(sent / closed).toBeLessThan(16 * 1024 * 1024);
});

test("a body is not decoded", async () => {
  await using server = await startServer((_, response) => {
    response.writeHead(200, { "content-encoding": "gzip" }).end("not gzip at all");
  });
  await using balancer = startChecked([server], httpCheck({ ...often, path: "/health" }));
  await untilAtLeast(() => server.arrivals.length, 3);
  expect(nodeOf(balancer).state).toBe("ready");
});

test("HEAD has no body to wait for", async () => {
  await using server = await startServer((_, response) => {
    response.writeHead(200, { "content-length": 1_000 }).end();
  });
  await using balancer = startChecked([server], httpCheck({ ...often, path: "/", method: "HEAD" }));
  await untilAtLeast(() => server.arrivals.length, 3);
  expect(nodeOf(balancer).state).toBe("ready");
});

test("a node where nobody listens is down before any call has met it", async () => {
  await using balancer = startChecked([await refusingAddress()], httpCheck({ ...often, path: "/health" }));
  expect(await reasonWhen("down", balancer)).toMatch(/^check failed: ECONNREFUSED/);
  expect(nodeOf(balancer).calls).toBe(0);
});

test("a node over a Unix socket is asked under the service's name", async () => {
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-check-"));
  try {
    const arrivals: Arrival[] = [];
    const http = createServer((request, response) => {
      arrivals.push(arrive(request));
      response.end();
    });
    await using server = await listen(http, arrivals, { path: join(folder, "orders.sock") });
    await using balancer = startChecked([server], httpCheck({ ...often, path: "/health" }));
    await untilAtLeast(() => arrivals.length, 3);
    expect(arrivals[0]?.headers.host).toBe("orders");
    expect(nodeOf(balancer).state).toBe("ready");
    await server[Symbol.asyncDispose]();
    expect(await reasonWhen("down", balancer)).toMatch(/^check failed: ENOENT/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a node over IPv6 is asked under its own address", async () => {
  const arrivals: Arrival[] = [];
  const http = createServer((request, response) => {
    arrivals.push(arrive(request));
    response.end();
  });
  await using server = await listen(http, arrivals, { port: 0, host: "::1" });
  await using balancer = startChecked(
    [`http://[::1]:${server.port}`],
    httpCheck({ ...often, path: "/health" }),
  );
  await untilAtLeast(() => arrivals.length, 3);
  expect(arrivals[0]?.headers.host).toBe(`[::1]:${server.port}`);
  expect(nodeOf(balancer).state).toBe("ready");
});

test("a name that cannot be looked up is no verdict on the node", async () => {
  // `.invalid` never resolves (RFC 2606), whatever the machine's resolver is.
  await using balancer = startChecked(
    ["http://orders.invalid:8080"],
    httpCheck({ ...often, path: "/health" }),
  );
  await sleep(300);
  expect(nodeOf(balancer)).toMatchObject({ state: "ready", reason: "" });
});

test("shared connections are those of the balancer's calls", async () => {
  let status = 200;
  await using server = await startServer((_, response) => {
    response.statusCode = status;
    response.end("as always");
  });
  const check = httpCheck({ ...often, path: "/health", connection: "shared" });
  await using balancer = startChecked([server], check, { connections: { perNode: 1 }, retry: false });
  const call = async () => await (await balancer.fetch("/v1/orders")).text();
  await call();
  await untilAtLeast(() => server.arrivals.length, 5);
  await call();
  expect(server.arrivals[0]?.headers.connection).toBe("keep-alive");
  status = 500;
  await reasonWhen("down", balancer);
  status = 200;
  await reasonWhen("warming", balancer);
  expect(server.accepted).toBe(1);
});

test("shared connections that are all busy say nothing about the node", async () => {
  const held: (() => void)[] = [];
  await using server = await startServer((request, response) => {
    if (request.url === "/health") response.end();
    else held.push(() => response.end("at last"));
  });
  const check = httpCheck({ ...often, timeoutMs: 50, path: "/health", connection: "shared" });
  await using balancer = startChecked([server], check, { connections: { perNode: 1 } });
  const call = balancer.fetch("/v1/export");
  await untilAtLeast(() => held.length, 1);
  const before = server.arrivals.length;
  await sleep(300);
  expect(server.arrivals.length).toBe(before);
  expect(nodeOf(balancer).state).toBe("ready");
  for (const release of held) release();
  expect(await (await call).text()).toBe("at last");
  await untilAtLeast(() => server.arrivals.length, before + 3);
  expect(nodeOf(balancer).state).toBe("ready");
});

test("a cluster without a balancer has no connections to share, and makes its own", async () => {
  await using server = await startServer();
  const check = httpCheck({ ...often, path: "/health", connection: "shared" });
  await using _ = new Cluster({ name: "orders", discovery: [server.address], health: { check } });
  await untilAtLeast(() => server.arrivals.length, 3);
  expect(server.accepted).toBe(server.arrivals.length);
});
