/** What layers of services tell each other over HTTP: how long there is, how much it matters, and what not to retry. */
import { expect, test } from "vitest";
import { withDeadline } from "../../src/index.ts";
import { startBalancer } from "./support/balancers.ts";
import { startServer } from "./support/server.ts";

const get = { path: "/x", method: "GET" } as const;

test("the deadline that is inherited goes out with the call, beside its own headers", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server], { deadlineHeader: "grpc-timeout" });
  const call = () => balancer.request({ ...get, headers: { "x-own": "1" } });
  const { body } = await withDeadline(2_000, call);
  await body.dump();
  const headers = server.arrivals[0]?.headers;
  expect(headers?.["x-own"]).toBe("1");
  const [, left] = /^(\d+)m$/.exec(String(headers?.["grpc-timeout"])) ?? [];
  expect(Number(left)).toBeGreaterThan(1_000);
  expect(Number(left)).toBeLessThanOrEqual(1_950);
});

test("a call that asks for what never ends tells of no deadline but an inherited one", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server], { deadlineHeader: "x-timeout-ms" });
  const stream = { ...get, headers: { accept: "text/event-stream" } };
  const call = async (options: typeof get) => (await balancer.request(options)).body.dump();
  await call(get);
  await call(stream);
  await withDeadline(2_000, () => call(stream));
  const [usual, endless, inherited] = server.arrivals.map(({ headers }) => headers["x-timeout-ms"]);
  expect(Number(usual)).toBeGreaterThan(20_000);
  expect(endless).toBeUndefined();
  expect(Number(inherited)).toBeLessThanOrEqual(1_950);
});

test("the deadline that is inherited ends a call that hangs, and cancels its request", async () => {
  await using server = await startServer(() => {});
  await using balancer = startBalancer([server], { timeouts: { totalMs: 60_000 } });
  const call = withDeadline(100, () => balancer.request(get));
  await expect(call).rejects.toMatchObject({ code: "ERR_DEADLINE" });
});

test("the priority of a view goes out, the usual one does not", async () => {
  await using server = await startServer();
  await using balancer = startBalancer([server]);
  await (await balancer.request(get)).body.dump();
  await (await balancer.with({ priority: "sheddable" }).request(get)).body.dump();
  expect(server.arrivals.map(({ headers }) => headers["evenkeel-priority"])).toEqual([
    undefined,
    "sheddable",
  ]);
});

test("a failure that says so is delivered without another try, and held against no node", async () => {
  await using server = await startServer((_, response) => {
    response.writeHead(503, { "evenkeel-retry": "no" }).end("C is down");
  });
  await using other = await startServer();
  await using balancer = startBalancer([server, other]);
  for (let index = 0; index < 8; index++) {
    const { statusCode, body } = await balancer.request(get);
    expect([statusCode, await body.text()]).toEqual([503, "C is down"]);
  }
  expect(other.arrivals).toHaveLength(0);
  expect(balancer.nodes[0]).toMatchObject({ state: "ready", failures: 8 });
});

test("without the header it is tried elsewhere", async () => {
  await using server = await startServer((_, response) => response.writeHead(503).end());
  await using other = await startServer();
  await using balancer = startBalancer([server, other]);
  expect((await balancer.request(get)).statusCode).toBe(200);
});
