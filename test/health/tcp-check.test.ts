/** What tcpCheck finds at listeners, at ports where nobody listens and at Unix sockets. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tcpCheck } from "../../src/index.ts";
import { listen, refusingAddress, startTcpServer } from "../http/support/server.ts";
import { startStuckListener } from "../http/support/stuck-listener.ts";
import { nodeOf, often, reasonWhen, startChecked, untilAtLeast } from "./support/checked.ts";

test("a listener passes, connection by connection, and is sent nothing", async () => {
  let bytes = 0;
  await using server = await startTcpServer((socket) => {
    socket.on("data", (chunk) => {
      bytes += chunk.length;
    });
  });
  await using balancer = startChecked([server], tcpCheck(often));
  await untilAtLeast(() => server.accepted, 5);
  expect(nodeOf(balancer).state).toBe("ready");
  expect(bytes).toBe(0);
  await balancer.destroy();
  await untilAtLeast(() => -server.open.size, 0);
});

test("a port where nobody listens fails", async () => {
  await using server = await startTcpServer(() => {});
  await using balancer = startChecked([server, await refusingAddress()], tcpCheck({ ...often, fall: 3 }));
  expect(await reasonWhen("down", balancer, 1)).toMatch(/^check failed: ECONNREFUSED \(\d+ in a row\)$/);
  expect(nodeOf(balancer).state).toBe("ready");
});

test("a listener that does not accept any more fails within the time", async () => {
  await using stuck = await startStuckListener();
  await using balancer = startChecked([stuck], tcpCheck({ ...often, timeoutMs: 100 }));
  expect(await reasonWhen("down", balancer)).toMatch(/^check failed: no answer within 100 ms/);
});

test("a Unix socket passes until it is gone", async () => {
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-check-"));
  try {
    await using server = await listen(createServer(), [], { path: join(folder, "orders.sock") });
    await using balancer = startChecked([server], tcpCheck(often));
    await untilAtLeast(() => server.accepted, 3);
    expect(nodeOf(balancer).state).toBe("ready");
    await server[Symbol.asyncDispose]();
    expect(await reasonWhen("down", balancer)).toMatch(/^check failed: ENOENT/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
