/** Active checks of nodes that speak HTTP/2 only, over the connections that calls use. */
import { expect, test } from "vitest";
import { connectBalancer } from "../../src/connect/index.ts";
import { httpCheck, roundRobin } from "../../src/index.ts";
import { until } from "../support/until.ts";
import { connectionsOf } from "./support/connections.ts";
import { startFront } from "./support/front.ts";
import { startRawServer } from "./support/raw-server.ts";
import { startShop } from "./support/servers.ts";
import { ask, told } from "./support/shop.ts";
import { protocols } from "./support/transports.ts";

const often = { path: "/health", connection: "shared", intervalMs: 20, jitter: 0, rise: 1, fall: 1 } as const;

test("a node that says it is ill gets no calls, and is called again when it is well", async () => {
  await using sick = await startShop();
  await using well = await startShop();
  let status = 200;
  let probes = 0;
  const seen = new Set<string>();
  sick.http2.prependListener("request", (request) => seen.add(`${request.method} ${request.url}`));
  const [answerCalls] = sick.http2.listeners("request").slice(-1) as [(...given: unknown[]) => void];
  sick.http2.removeListener("request", answerCalls);
  sick.http2.on("request", (request, response) => {
    if (request.url !== "/health") {
      answerCalls(request, response);
      return;
    }
    probes++;
    response.statusCode = status;
    response.end("how it is");
  });
  await using shop = connectBalancer({
    name: "shop",
    discovery: [sick.address, well.address],
    policy: roundRobin(),
    health: { check: httpCheck({ ...often, statuses: [200, 404] }), warmUpMs: 0 },
  });
  const client = protocols.gRPC(shop.transportOptions);
  const from = async () =>
    new Set(
      (await Promise.all([1, 2, 3, 4].map(() => client.get(ask())))).map((answer) => told(answer).from),
    );
  await until("it was asked", () => probes >= 2, 5_000);
  expect(await from()).toEqual(new Set([sick.address, well.address]));
  status = 503;
  await until("it is down", () => shop.nodes[0]?.state === "down", 5_000);
  expect(shop.nodes[0]?.reason).toMatch(/^check failed: status 503/);
  expect(await from()).toEqual(new Set([well.address]));
  status = 200;
  await until("it is back", () => shop.nodes[0]?.state === "ready", 5_000);
  expect(await from()).toEqual(new Set([sick.address, well.address]));
  expect(seen).toContain("GET /health");
  // All of it over one connection.
  expect(sick.connections).toBe(1);
  expect(shop.nodes[0]?.failures).toBe(0);
});

test("a probe without an answer is given up, and one that finds nobody fails", async () => {
  await using silent = await startRawServer(() => {});
  await using shop = connectBalancer({
    name: "shop",
    discovery: [silent.address],
    health: { check: httpCheck({ ...often, timeoutMs: 50 }) },
  });
  await until("it is down", () => shop.nodes[0]?.state === "down", 5_000);
  // The places of the probes are free again.
  await until("its connection rests", () => connectionsOf(shop)?.idle === 1, 5_000);

  await using front = await startFront(silent.address);
  await front.stopListening();
  await using other = connectBalancer({
    name: "other",
    discovery: [front.address],
    health: { check: httpCheck(often) },
  });
  await until("it is down, too", () => other.nodes[0]?.state === "down", 5_000);
  expect(other.nodes[0]?.reason).toMatch(/ECONNREFUSED/);
});
