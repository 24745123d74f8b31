/** Checks and calls together: failing open, what ends with the balancer, and time in which this process stood still. */
import { execFile } from "node:child_process";
import diagnosticsChannel from "node:diagnostics_channel";
import { createServer } from "node:http";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { Balancer, Cluster, httpCheck, tcpCheck } from "../../src/index.ts";
import { startBackend } from "../../src/testing/backend.ts";
import { rejection } from "../http/support/balancers.ts";
import {
  type Answer,
  type Arrival,
  arrive,
  listen,
  refusingAddress,
  startServer,
} from "../http/support/server.ts";
import { startStuckListener } from "../http/support/stuck-listener.ts";
import { until } from "../support/until.ts";
import { nodeOf, often, reasonWhen, startChecked, untilAtLeast } from "./support/checked.ts";

const check = httpCheck({ ...often, path: "/health" });

/** Says that it is ill, and answers its calls all the same. */
const ill: Answer = (request, response) => {
  response.statusCode = request.url === "/health" ? 503 : 200;
  response.end("fine");
};

test("when every check fails calls go out all the same, to all nodes", async () => {
  await using first = await startServer(ill);
  await using second = await startServer(ill);
  await using balancer = startChecked([first, second], check, { policy: undefined });
  await until("both are down", () => balancer.failingOpen, 10_000);
  expect(balancer.nodes.map(({ state }) => state)).toEqual(["down", "down"]);
  for (let call = 0; call < 40; call++)
    expect(await (await balancer.fetch("/v1/orders")).text()).toBe("fine");
  for (const { arrivals } of [first, second]) {
    expect(arrivals.filter(({ url }) => url === "/v1/orders").length).toBeGreaterThan(0);
  }
});

test("without failOpen no call goes out then", async () => {
  await using server = await startServer(ill);
  await using balancer = startChecked([server], check, { health: { failOpen: false } });
  await reasonWhen("down", balancer);
  const error = await rejection(balancer.request({ path: "/v1/orders", method: "GET" }));
  expect(error.code).toBe("ERR_NO_NODE");
  expect(error.message).toContain("none of 1 nodes may be called (1 down)");
  expect(server.arrivals.filter(({ url }) => url !== "/health")).toEqual([]);
});

test("a node that refused calls is tried as soon as its check passes", async () => {
  const address = await refusingAddress();
  await using other = await startServer();
  await using balancer = startChecked([address, other], tcpCheck({ ...often, fall: 1_000_000 }));
  await balancer.fetch("/v1/orders");
  const { state, reason, until: trialAt = 0 } = nodeOf(balancer);
  expect([state, reason]).toEqual(["down", "ECONNREFUSED"]);
  const arrivals: Arrival[] = [];
  const http = createServer((request, response) => {
    arrivals.push(arrive(request));
    response.end("back");
  });
  await using _ = await listen(http, arrivals, { port: Number(new URL(address).port), host: "127.0.0.1" });
  await reasonWhen("probing", balancer);
  // By the clock, since it is time that makes the difference: without the check it would have been tried then.
  expect(Date.now()).toBeLessThan(trialAt);
  await (await balancer.fetch("/v1/orders")).text();
  expect(nodeOf(balancer).state).toBe("ready");
  expect(arrivals).toHaveLength(1);
});

test("time in which this process stands still fails no check", async () => {
  const backend = await startBackend({ workMs: 30 });
  await using _ = { [Symbol.asyncDispose]: () => backend.kill() };
  let blockages = 0;
  // The request goes out only after the blockage, when the time of the probe has passed by the clock.
  const block = () => {
    blockages++;
    for (const freeAt = performance.now() + 500; performance.now() < freeAt; );
  };
  diagnosticsChannel.subscribe("net.client.socket", block);
  try {
    await using balancer = startChecked([backend], httpCheck({ ...often, timeoutMs: 300, path: "/health" }));
    const seen = new Set<string>();
    await until(
      "five blockages",
      () => {
        seen.add(nodeOf(balancer).reason);
        return blockages >= 5;
      },
      20_000,
    );
    expect([...seen]).toEqual([""]);
    expect((await backend.stats()).requests).toBeGreaterThanOrEqual(4);
  } finally {
    diagnosticsChannel.unsubscribe("net.client.socket", block);
  }
});

test("a closed balancer probes no more and leaves no connection", async () => {
  await using server = await startServer();
  await using hanging = await startServer(() => {});
  for (const end of ["close", "destroy"] as const) {
    const balancer = startChecked([server, hanging], check);
    const before = [server.arrivals.length, hanging.arrivals.length] as const;
    await untilAtLeast(() => server.arrivals.length, before[0] + 3);
    await untilAtLeast(() => hanging.arrivals.length, before[1] + 1);
    await balancer[end]();
    await until("no connection is open", () => server.open.size === 0 && hanging.open.size === 0, 5_000);
    const after = server.accepted + hanging.accepted;
    await sleep(200);
    expect(server.accepted + hanging.accepted).toBe(after);
  }
});

test("a connection that is being made is given up with the rest", async () => {
  await using stuck = await startStuckListener();
  const sockets: Socket[] = [];
  const onSocket = (message: unknown) => sockets.push((message as { readonly socket: Socket }).socket);
  diagnosticsChannel.subscribe("net.client.socket", onSocket);
  try {
    for (const kind of [
      httpCheck({ ...often, timeoutMs: 50, path: "/health" }),
      tcpCheck({ ...often, timeoutMs: 50 }),
    ]) {
      const balancer = startChecked([stuck], kind);
      const before = sockets.length;
      await untilAtLeast(() => sockets.length, before + 3);
      expect(sockets.filter(({ destroyed }) => !destroyed).length).toBeLessThanOrEqual(1);
      await balancer.destroy();
      expect(sockets.filter(({ destroyed }) => !destroyed)).toEqual([]);
    }
  } finally {
    diagnosticsChannel.unsubscribe("net.client.socket", onSocket);
  }
});

test("a balancer that others' cluster outlives takes its connections with it, and its probes make their own", async () => {
  await using server = await startServer();
  const shared = httpCheck({ ...often, path: "/health", connection: "shared" });
  await using cluster = new Cluster({
    name: "orders",
    discovery: [server.address],
    health: { check: shared },
  });
  const balancer = new Balancer(cluster);
  await untilAtLeast(() => server.arrivals.length, 3);
  await balancer.close();
  const { accepted, arrivals } = server;
  await untilAtLeast(() => server.arrivals.length, arrivals.length + 3);
  expect(server.accepted - accepted).toBeGreaterThanOrEqual(2);
  expect(cluster.nodes.map(({ state }) => state)).toEqual(["ready"]);
});

test("checks keep no process alive, and leave nothing in one that closes", async () => {
  await using server = await startServer();
  await using hanging = await startServer(() => {});
  const program = fileURLToPath(new URL("./programs/checked.ts", import.meta.url));
  for (const how of ["leave", "close"]) {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [program, how, server.address, hanging.address],
      {
        timeout: 20_000,
      },
    );
    expect(stdout.trim()).toBe(how === "leave" ? "left open" : "closed, left: none");
  }
});
