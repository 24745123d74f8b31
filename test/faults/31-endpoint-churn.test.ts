/** Fault 31: endpoints come and go by the ten thousand: nothing of those that went may stay. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { runChild } from "../support/child.ts";
import type { ChurnReport } from "../support/churn-program.ts";
import { count, ms, printFigure } from "../support/figure.ts";

const endpoints = 100_000;
const mostGrowth = 5 * 2 ** 20;

test("100,000 endpoints that came and went leave no memory, handle or socket behind", async () => {
  let open = 0;
  const server = createServer((_request, response) => response.end("ok"));
  server.on("connection", (socket) => {
    open++;
    socket.once("close", () => {
      open--;
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
  const { port } = server.address() as AddressInfo;
  try {
    const { report, tookMs } = await runChild<ChurnReport>("churn-program.ts", {
      nodeOptions: ["--expose-gc"],
      arguments: [String(port), String(endpoints)],
      limitMs: 55_000,
    });
    const { calls, failed, connections, heapGrowth, nodesAtEnd, resourcesAfter, resourcesBefore } = report;
    const left = resourcesAfter.filter((resource) => !resourcesBefore.includes(resource));
    printFigure(
      "31 endpoint churn",
      `heap ${(heapGrowth / 2 ** 20).toFixed(1)} MiB larger after ${count(endpoints)} endpoints (pass: 5 MiB)`,
      `handles left: ${left.length} (pass: 0)`,
      `sockets left: ${open} (pass: 0)`,
      `${failed} of ${count(calls)} calls failed (pass: 0)`,
      `${count(connections)} connections`,
      `nodes at the end: ${nodesAtEnd}`,
      `the process ended by itself after ${ms(tookMs)}`,
    );
    expect(connections).toBeGreaterThan(1_000);
    expect(failed).toBe(0);
    expect(nodesAtEnd).toBe(1);
    expect(heapGrowth).toBeLessThanOrEqual(mostGrowth);
    expect(left, resourcesAfter.join(", ")).toEqual([]);
    expect(open).toBe(0);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
