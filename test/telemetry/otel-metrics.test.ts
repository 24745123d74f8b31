/** OpenTelemetry's metrics SDK is given what happened, by its conventions, and nothing after the end. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { list } from "../../src/index.ts";
import { otel } from "../../src/telemetry/otel.ts";
import { startBalancer } from "../http/support/balancers.ts";
import { refusingAddress, startServer } from "../http/support/server.ts";
import { until } from "../support/until.ts";
import { listenedChannels } from "./support/channels.ts";
import { MetricsSdk } from "./support/otel-sdk.ts";

let sdk: MetricsSdk;
beforeEach(() => {
  sdk = new MetricsSdk();
});
afterEach(() => sdk[Symbol.asyncDispose]());

describe("otel metrics", () => {
  it("name requests as the HTTP conventions do, with the buckets that they advise", async () => {
    await using server = await startServer((request, response) => {
      response.statusCode = request.url === "/missing" ? 404 : 200;
      response.end("ok");
    });
    using _ = otel({ meterProvider: sdk.provider, spans: false });
    await using orders = startBalancer([server]);
    for (const path of ["/a", "/b?secret=1", "/missing"]) {
      const { body } = await orders.request({ path, method: "GET" });
      await body.text();
    }
    await (await orders.request({ path: "/", method: "PROPFIND" as "GET" })).body.text();

    const metrics = await sdk.read();
    const durations = metrics.find(({ descriptor }) => descriptor.name === "http.client.request.duration");
    expect(durations?.descriptor).toMatchObject({
      unit: "s",
      description: "Duration of HTTP client requests",
    });
    const common = { "server.address": "orders", "server.port": 80, "url.scheme": "http" };
    const points = durations?.dataPoints.map(({ attributes, value }) => ({ attributes, value }));
    expect(points).toMatchObject([
      {
        attributes: { ...common, "http.request.method": "GET", "http.response.status_code": 200 },
        value: {
          count: 2,
          buckets: {
            boundaries: [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
          },
        },
      },
      {
        attributes: {
          ...common,
          "http.request.method": "GET",
          "http.response.status_code": 404,
          "error.type": "404",
        },
        value: { count: 1 },
      },
      { attributes: { ...common, "http.request.method": "_OTHER" }, value: { count: 1 } },
    ]);
    // Seconds, not milliseconds: four calls on this machine take less than a minute.
    const sum = (points?.[0]?.value as { sum: number } | undefined)?.sum;
    expect(sum).toBeGreaterThan(0);
    expect(sum).toBeLessThan(60);
    // Paths are nowhere: they have no bound.
    expect(JSON.stringify(metrics)).not.toContain("secret");
    expect(JSON.stringify(metrics)).not.toContain("/missing");
  });

  it("count calls, attempts, retries, ejections and refusals", async () => {
    await using server = await startServer();
    await using broken = await startServer((_, response) => {
      response.statusCode = 503;
      response.end();
    });
    const refusing = await refusingAddress();
    using _ = otel({ meterProvider: sdk.provider, spans: false });
    await using orders = startBalancer([refusing, broken, server]);
    await (await orders.request({ path: "/", method: "GET" })).body.text();
    await (await orders.request({ path: "/", method: "POST" })).body.text();
    await orders.close();
    await expect(orders.cluster.call(() => 1)).rejects.toThrow("closed");

    expect(await sdk.values("evenkeel.calls")).toEqual({
      "orders success": 1,
      // The POST met the 503, which may have been at work.
      "orders failure": 2,
      "orders ignored": 0,
    });
    expect(await sdk.values("evenkeel.attempts")).toMatchObject({
      [`orders ${refusing} failure refused`]: 1,
      [`orders ${broken.address} failure status`]: 2,
      [`orders ${server.address} success ok`]: 1,
    });
    expect(await sdk.values("evenkeel.retries")).toEqual({ orders: 2 });
    expect(await sdk.values("evenkeel.ejections")).toMatchObject({ [`orders ${refusing}`]: 1 });
    expect(await sdk.values("evenkeel.rejects")).toEqual({ "orders ERR_CLOSED": 1 });
  });

  it("show nodes, calls in flight and connections as they are", async () => {
    let release = () => {};
    await using server = await startServer((_, response) => {
      release = () => response.end("ok");
    });
    const gone = await refusingAddress();
    const nodes = list([server.address, gone]);
    using _ = otel({ meterProvider: sdk.provider, spans: false });
    await using orders = startBalancer([], { discovery: nodes, connections: { perNode: 1 } });
    const pending = Array.from({ length: 4 }, () => orders.fetch("/").then((answer) => answer.text()));
    await until("the first call arrived", () => server.arrivals.length === 1, 5_000);

    expect(await sdk.values("evenkeel.inflight")).toEqual({
      [`orders ${server.address}`]: 4,
      [`orders ${gone}`]: 0,
    });
    expect(await sdk.values("evenkeel.nodes")).toMatchObject({ "orders ready": 2, "orders down": 0 });
    expect(await sdk.values("evenkeel.node.state")).toMatchObject({
      [`orders ${server.address} ready`]: 1,
      [`orders ${server.address} down`]: 0,
    });
    expect(await sdk.values("evenkeel.connections")).toEqual({
      [`orders ${server.address} open`]: 1,
      [`orders ${server.address} idle`]: 0,
      [`orders ${server.address} connecting`]: 0,
      [`orders ${server.address} waiting`]: 3,
    });
    expect(await sdk.values("evenkeel.discovery.age")).toEqual({ orders: 0 });
    expect(await sdk.values("evenkeel.failing_open")).toEqual({ orders: 0 });
    for (let answered = 1; answered <= 4; answered++) {
      await until("the next call arrived", () => server.arrivals.length === answered, 5_000);
      release();
    }
    await Promise.all(pending);

    // The SDK would go on reporting what a node that left was last: it is told that there is nothing.
    nodes.remove(gone);
    expect(await sdk.values("evenkeel.nodes")).toMatchObject({ "orders ready": 1 });
    expect(await sdk.values("evenkeel.node.state")).toMatchObject({ [`orders ${gone} ready`]: 0 });
    expect(await sdk.values("evenkeel.inflight")).toEqual({
      [`orders ${server.address}`]: 0,
      [`orders ${gone}`]: 0,
    });
  });

  it("are of the services that are asked for alone", async () => {
    await using server = await startServer();
    using _ = otel({ meterProvider: sdk.provider, spans: false, services: ["users"] });
    await using orders = startBalancer([server]);
    await using users = startBalancer([server], { name: "users" });
    for (const balancer of [orders, users]) await (await balancer.fetch("/")).text();
    expect(await sdk.values("evenkeel.calls")).toEqual({
      "users success": 1,
      "users failure": 0,
      "users ignored": 0,
    });
    expect(await sdk.values("http.client.request.duration")).toEqual({ "GET users 80 http 200": 1 });
  });

  it("end with what otel() returned: nobody listens, nothing is recorded", async () => {
    await using server = await startServer();
    const stop = otel({ meterProvider: sdk.provider, spans: false });
    expect(listenedChannels()).toEqual([
      "call:end",
      "attempt:end",
      "node:state",
      "discovery:error",
      "retry",
      "reject",
    ]);
    await using orders = startBalancer([server]);
    await (await orders.fetch("/")).text();
    const before = await sdk.values("http.client.request.duration");
    expect(before).toEqual({ "GET orders 80 http 200": 1 });
    stop();
    stop();
    // The cluster waits to be asked, and that is all.
    expect(listenedChannels()).toEqual(["collect"]);
    await (await orders.fetch("/")).text();
    expect(await sdk.values("http.client.request.duration")).toEqual(before);
    await orders.destroy();
    expect(listenedChannels()).toEqual([]);
  });
});
