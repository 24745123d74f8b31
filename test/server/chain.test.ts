/** A service between its caller and the one that it calls: deadlines, aborts, priorities and failures go through it. */
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { Balancer, type BalancerOptions } from "../../src/index.ts";
import { protect } from "../../src/server/index.ts";
import { until } from "../support/until.ts";
import { kinds } from "./support/protocol-servers.ts";

const deadlineHeader = "x-timeout-ms";

/** The last service of the chain, which answers as it is told to. */
async function lastService(status: () => number | undefined) {
  const calls: IncomingHttpHeaders[] = [];
  let open = 0;
  const server: Server = createServer((request, response) => {
    calls.push(request.headers);
    open++;
    response.once("close", () => open--);
    const answer = status();
    if (answer !== undefined) response.writeHead(answer).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    calls,
    open: () => open,
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function balancer(address: string, options: Partial<BalancerOptions> = {}): Balancer & AsyncDisposable {
  const made = new Balancer({
    name: "next",
    discovery: [address],
    deadlineHeader,
    retry: { attempts: 3, backoffMs: 1, maxBackoffMs: 2 },
    health: { ejection: false },
    ...options,
  });
  made[Symbol.asyncDispose] = () => made.destroy();
  return made;
}

test.for(kinds)(
  "$name: what a handler calls has its caller's deadline and priority, and ends with it",
  async (kind) => {
    await using last = await lastService(() => undefined);
    await using toLast = balancer(last.address);
    const failures: unknown[] = [];
    await using middle = await kind.start(protect({ deadlineHeader }), async (_, response) => {
      await toLast.request({ path: "/", method: "GET" }).catch((error: unknown) => failures.push(error));
      response.end();
    });
    await using toMiddle = balancer(middle.address, { connections: kind.connections });
    const controller = new AbortController();
    const view = toMiddle.with({ totalMs: 5_000, priority: "critical" });
    const call = view
      .request({ path: "/", method: "GET", signal: controller.signal })
      .catch((error: Error) => error.name);
    await until("the call has reached the end of the chain", () => last.open() === 1, 5_000);
    const told = last.calls[0]?.[deadlineHeader];
    expect(Number(told)).toBeGreaterThan(1_000);
    expect(Number(told)).toBeLessThan(5_000);
    expect(last.calls[0]?.["evenkeel-priority"]).toBe("critical");

    controller.abort();
    expect(await call).toBe("AbortError");
    await until("nobody works for it any more", () => last.open() === 0 && failures.length === 1, 5_000);
  },
);

test.for(kinds)("$name: only the layer next to the fault tries again", async (kind) => {
  let status = 503;
  await using last = await lastService(() => status);
  await using toLast = balancer(last.address);
  let arrived = 0;
  await using middle = await kind.start(protect({ deadlineHeader }), async (_, response) => {
    arrived++;
    const { statusCode, body } = await toLast.request({ path: "/", method: "GET" });
    await body.dump();
    response.statusCode = statusCode;
    response.end();
  });
  await using toMiddle = balancer(middle.address, { connections: kind.connections });
  const { statusCode, body } = await toMiddle.request({ path: "/", method: "GET" });
  await body.dump();
  expect({ statusCode, arrived, calls: last.calls.length }).toEqual({
    statusCode: 503,
    arrived: 1,
    calls: 3,
  });

  status = 200;
  const fine = await toMiddle.request({ path: "/", method: "GET" });
  await fine.body.dump();
  expect(fine.statusCode).toBe(200);
});
