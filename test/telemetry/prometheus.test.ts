/** A registry of prom-client tells what happened, what is now, and nothing of nodes that are gone. */
import { type OpenMetricsContentType, Registry } from "prom-client";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { list } from "../../src/index.ts";
import { type PrometheusOptions, prometheus } from "../../src/telemetry/prometheus.ts";
import { startBalancer } from "../http/support/balancers.ts";
import { refusingAddress, startServer } from "../http/support/server.ts";
import { until } from "../support/until.ts";
import { listenedChannels } from "./support/channels.ts";
import { parseText, type Sample, valuesOf } from "./support/prometheus-text.ts";

let register: Registry;
let stop = () => {};
beforeEach(() => {
  register = new Registry();
});
afterEach(() => stop());

function start(options: PrometheusOptions = {}): void {
  stop = prometheus({ register, ...options });
}

async function scrape(): Promise<readonly Sample[]> {
  return parseText(await register.metrics());
}

describe("prometheus", () => {
  it("counts calls, attempts, retries, ejections and refusals", async () => {
    await using server = await startServer();
    await using broken = await startServer((_, response) => {
      response.statusCode = 503;
      response.end();
    });
    const refusing = await refusingAddress();
    start();
    await using orders = startBalancer([refusing, broken, server]);
    await (await orders.request({ path: "/", method: "GET" })).body.text();
    const samples = await scrape();
    expect(valuesOf(samples, "evenkeel_calls_total")).toEqual({
      "orders success": 1,
      "orders failure": 0,
      "orders ignored": 0,
    });
    expect(valuesOf(samples, "evenkeel_attempts_total")).toEqual({
      [`orders ${refusing} success ok`]: 0,
      [`orders ${refusing} failure refused`]: 1,
      [`orders ${broken.address} success ok`]: 0,
      [`orders ${broken.address} failure status`]: 1,
      [`orders ${server.address} success ok`]: 1,
    });
    expect(valuesOf(samples, "evenkeel_retries_total")).toEqual({ orders: 2 });
    expect(valuesOf(samples, "evenkeel_ejections_total")).toMatchObject({ [`orders ${refusing}`]: 1 });
    expect(valuesOf(samples, "evenkeel_node_state")).toMatchObject({
      [`orders ${refusing} down`]: 1,
      [`orders ${refusing} ready`]: 0,
      [`orders ${server.address} ready`]: 1,
    });
    expect(valuesOf(samples, "evenkeel_nodes")).toMatchObject({ "orders ready": 2, "orders down": 1 });
    expect(valuesOf(samples, "evenkeel_attempt_duration_seconds_count")).toEqual({
      [`orders ${refusing}`]: 1,
      [`orders ${broken.address}`]: 1,
      [`orders ${server.address}`]: 1,
    });
    // Scraping again counts nothing twice.
    expect(valuesOf(await scrape(), "evenkeel_attempts_total")).toEqual(
      valuesOf(samples, "evenkeel_attempts_total"),
    );
    await orders.close();
    await expect(orders.cluster.call(() => 1)).rejects.toThrow("closed");
    expect(valuesOf(await scrape(), "evenkeel_rejects_total")).toEqual({ "orders ERR_CLOSED": 1 });
  });

  it("leaves attempts that say nothing about their node out of the histogram", async () => {
    await using server = await startServer(() => {});
    start();
    await using orders = startBalancer([server]);
    const aborted = orders.fetch("/", { signal: AbortSignal.timeout(20) });
    await expect(aborted).rejects.toThrow();
    const samples = await scrape();
    expect(valuesOf(samples, "evenkeel_attempts_total")).toMatchObject({
      [`orders ${server.address} ignored aborted`]: 1,
    });
    expect(valuesOf(samples, "evenkeel_attempt_duration_seconds_count")).toEqual({});
    expect(valuesOf(samples, "evenkeel_calls_total")).toMatchObject({ "orders ignored": 1 });
  });

  it("looks at what is now when it is scraped", async () => {
    let release = () => {};
    await using server = await startServer((_, response) => {
      release = () => response.end("ok");
    });
    start();
    await using orders = startBalancer([server]);
    const pending = orders.request({ path: "/", method: "GET" });
    await until("the call arrived", () => server.arrivals.length === 1, 5_000);
    expect(valuesOf(await scrape(), "evenkeel_inflight")).toEqual({ [`orders ${server.address}`]: 1 });
    release();
    await (await pending).body.text();
    const samples = await scrape();
    expect(valuesOf(samples, "evenkeel_inflight")).toEqual({ [`orders ${server.address}`]: 0 });
    expect(valuesOf(samples, "evenkeel_connections")).toMatchObject({ [`orders ${server.address} open`]: 1 });
    expect(valuesOf(samples, "evenkeel_discovery_age_seconds")).toEqual({ orders: 0 });
    expect(valuesOf(samples, "evenkeel_failing_open")).toEqual({ orders: 0 });
    const latency = valuesOf(samples, "evenkeel_node_latency_seconds")[`orders ${server.address}`];
    // It fades from one look to the next.
    expect(latency).toBeCloseTo((orders.nodes[0]?.latencyMs ?? 0) / 1_000, 4);
  });

  it("lets a node's series go once it is gone and its last figures were read", async () => {
    await using server = await startServer();
    await using leaving = await startServer();
    const nodes = list([leaving.address, server.address]);
    start();
    await using orders = startBalancer([], { discovery: nodes });
    await (await orders.fetch("/")).text();
    await scrape();
    await (await orders.fetch("/")).text();
    nodes.remove(leaving.address);
    const count = `orders ${leaving.address}`;
    expect(valuesOf(await scrape(), "evenkeel_attempt_duration_seconds_count")).toEqual({ [count]: 2 });
    const left = await scrape();
    expect(left.filter(({ labels }) => labels.node === leaving.address)).toEqual([]);
    expect(left.filter(({ labels }) => labels.node === server.address)).not.toEqual([]);
    await orders.close();
    await scrape();
    expect(await scrape()).toEqual([]);
  });

  it("takes a prefix, buckets and the services to tell of", async () => {
    await using server = await startServer();
    start({ prefix: "lb_", buckets: [0.1, 1], services: ["users"] });
    await using orders = startBalancer([server]);
    await using users = startBalancer([server], { name: "users" });
    for (const balancer of [orders, users]) await (await balancer.fetch("/")).text();
    const samples = await scrape();
    expect(samples.every(({ name }) => name.startsWith("lb_"))).toBe(true);
    expect(new Set(samples.map(({ labels }) => labels.upstream))).toEqual(new Set(["users"]));
    const buckets = samples.filter(({ name }) => name === "lb_attempt_duration_seconds_bucket");
    expect(buckets.map(({ labels }) => labels.le)).toEqual(["0.1", "1", "+Inf"]);
  });

  it("works in a registry of OpenMetrics", async () => {
    const openMetrics = new Registry<OpenMetricsContentType>();
    openMetrics.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
    await using server = await startServer();
    stop = prometheus({ register: openMetrics });
    await using orders = startBalancer([server]);
    await (await orders.fetch("/")).text();
    const samples = parseText(await openMetrics.metrics());
    expect(valuesOf(samples, "evenkeel_calls_total")).toMatchObject({ "orders success": 1 });
  });

  it("ends with what prometheus() returned: nobody listens, no metric is left", async () => {
    await using server = await startServer();
    start();
    expect(() => prometheus({ register })).toThrow(
      "evenkeel_attempt_duration_seconds has already been registered",
    );
    await using orders = startBalancer([server]);
    await (await orders.fetch("/")).text();
    expect(listenedChannels()).not.toEqual(["collect"]);
    stop();
    expect(listenedChannels()).toEqual(["collect"]);
    expect(register.getMetricsAsArray()).toEqual([]);
    // And may be started again, from nothing.
    start();
    expect(valuesOf(await scrape(), "evenkeel_calls_total")).toEqual({
      "orders success": 0,
      "orders failure": 0,
      "orders ignored": 0,
    });
  });

  it.each<[object, string]>([
    [{ register: {} }, "prometheus.register must have a method registerMetric()"],
    [{ buckets: [1, 0.5] }, "prometheus.buckets must be ascending numbers, got [1, 0.5]"],
    [{ buckets: [] }, "prometheus.buckets must be ascending numbers, got []"],
    [{ maxNode: 5 }, 'unknown option prometheus.maxNode (5); did you mean "maxNodes"?'],
  ])("refuses %j and listens to nothing", (options, message) => {
    expect(() => prometheus(options)).toThrow(message);
    expect(listenedChannels()).toEqual([]);
  });
});
