/** Fault 22: one instance is announced under several spellings of its address: IPv6, mapped IPv4, `unix:`, doubles. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo, ListenOptions } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Balancer, list } from "../../src/index.ts";
import { count, printFigure } from "../support/figure.ts";

const calls = 300;

interface CountingServer extends AsyncDisposable {
  readonly port: number;
  readonly connections: number;
  readonly requests: number;
}

async function startCounting(place: ListenOptions): Promise<CountingServer> {
  let connections = 0;
  let requests = 0;
  const server: Server = createServer((_, response) => {
    requests++;
    response.end("ok");
  });
  server.on("connection", () => {
    connections++;
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(place, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === "string" ? 0 : (address as AddressInfo).port,
    get connections() {
      return connections;
    },
    get requests() {
      return requests;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test("an instance has one node and one set of connections, however its address is written", async () => {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-socket-"));
  stack.defer(() => rmSync(folder, { recursive: true }));
  const v4 = stack.use(await startCounting({ host: "127.0.0.1", port: 0 }));
  const v6 = stack.use(await startCounting({ host: "::1", port: 0 }));
  const path = join(folder, "orders.sock");
  const unix = stack.use(await startCounting({ path }));
  const spellings = [
    [
      `http://127.0.0.1:${v4.port}`,
      `127.0.0.1:${v4.port}`,
      `HTTP://127.0.0.1:${v4.port}/`,
      `http://127.1:${v4.port}`,
      `http://[::ffff:127.0.0.1]:${v4.port}`,
      `[::FFFF:7f00:1]:${v4.port}`,
    ],
    [
      `http://[::1]:${v6.port}`,
      `[::1]:${v6.port}`,
      `[0:0:0:0:0:0:0:1]:${v6.port}`,
      `http://[0::0:1]:${v6.port}/`,
    ],
    [`unix:${path}`, `unix://${path}`, `UNIX:${folder}//./orders.sock`],
  ];
  const servers = [v4, v6, unix];
  const announced = spellings.flatMap((each) => [...each, ...each]);
  const nodes = list(announced);
  const balancer = new Balancer({ name: "many-names", discovery: nodes, connections: { perNode: 1 } });
  stack.defer(() => balancer.destroy());
  await balancer.ready();
  const callMany = (): Promise<unknown> =>
    Promise.all(
      Array.from({ length: calls }, async () =>
        (await balancer.request({ path: "/", method: "GET" })).body.text(),
      ),
    );

  await callMany();
  // The same instances under their other names: nothing changes for those who hold connections.
  for (let round = 1; round < 6; round++) {
    nodes.set(spellings.map((each) => each[round % each.length] as string));
    await callMany();
  }
  const made = servers.map(({ connections }) => connections);
  const requests = servers.map((server) => server.requests);
  printFigure(
    "22 one node, many names",
    `connections to each instance, with one allowed for a node: ${made.join(" ")} (pass: 1)`,
    `nodes for ${announced.length} announced addresses: ${balancer.nodes.length} (pass: ${servers.length})`,
    `calls to each ${requests.map(count).join(" ")}`,
  );
  expect(balancer.nodes.map(({ address }) => address)).toEqual([
    `http://127.0.0.1:${v4.port}`,
    `http://[::1]:${v6.port}`,
    `unix:${path}`,
  ]);
  expect(made).toEqual([1, 1, 1]);
  expect(Math.min(...requests)).toBeGreaterThan(0);
  expect(requests.reduce((sum, part) => sum + part, 0)).toBe(6 * calls);
});
