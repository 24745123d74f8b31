/**
 * Fault 32: more hosts than any metrics system would forgive. What has no place of its own is counted as "other", so
 * that no figure is lost and the series stay few.
 */
import { DataPointType } from "@opentelemetry/sdk-metrics";
import { Registry } from "prom-client";
import { afterEach, beforeEach, expect, test } from "vitest";
import { attemptEnds, callEnds, nodeStates, rejects } from "../../src/core/events.ts";
import { collections } from "../../src/core/observation.ts";
import {
  type BalancerErrorCode,
  Cluster,
  type Collection,
  list,
  type NodeView,
  roundRobin,
} from "../../src/index.ts";
import { otel } from "../../src/telemetry/otel.ts";
import { prometheus } from "../../src/telemetry/prometheus.ts";
import { reasons } from "../../src/telemetry/rows.ts";
import { count, ms, printFigure } from "../support/figure.ts";
import { countSeries, MetricsSdk } from "../telemetry/support/otel-sdk.ts";
import { parseText, type Sample, valuesOf } from "../telemetry/support/prometheus-text.ts";

const hosts = 100_000;
const mostSeries = 2_000;

let sdk: MetricsSdk;
let register: Registry;
const stops: (() => void)[] = [];
beforeEach(() => {
  sdk = new MetricsSdk();
  register = new Registry();
  stops.push(otel({ meterProvider: sdk.provider, spans: false }), prometheus({ register }));
});
afterEach(async () => {
  for (const stop of stops.splice(0)) stop();
  await sdk[Symbol.asyncDispose]();
});

const addresses = Array.from(
  { length: hosts },
  (_, index) => `http://10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}:8080`,
);

/** Answers as services do that are not well: with a few statuses, and with every kind of failure. */
const failures = ["ETIMEDOUT", "ECONNRESET", "EMFILE", "EUNKNOWN"];
const methods = ["GET", "POST", "PUT", "DELETE", "PROPFIND"];
function answer(index: number): { readonly status: number } {
  if (index % 3 !== 0) return { status: [200, 201, 404, 429, 500, 503][index % 6] as number };
  // A node that refuses is taken out, and with 100,000 others that is work: a few are enough.
  const code = index < 100 ? "ECONNREFUSED" : failures[(index / 3) % failures.length];
  throw Object.assign(new Error("no answer"), { code });
}

/** A call to each node of the cluster, and then some. */
async function callAll(cluster: Cluster, calls: number): Promise<void> {
  for (let index = 0; index < calls; index++) {
    const method = methods[index % methods.length];
    const call = cluster.call(() => answer(index), { method, retry: false });
    await call.catch(() => {});
  }
}

function createCluster(name: string, discovery: readonly string[] | ReturnType<typeof list>): Cluster {
  const health = { ejection: false, warmUpMs: 0 } as const;
  return new Cluster({ name, discovery, policy: roundRobin(), health });
}

interface Totals {
  readonly otelSeries: number;
  readonly promSeries: number;
  readonly samples: readonly Sample[];
  readonly scrapeMs: number;
  readonly otelAttempts: number;
  readonly otelDurations: number;
}

async function read(): Promise<Totals> {
  const startedAt = performance.now();
  const samples = parseText(await register.metrics());
  const scrapeMs = performance.now() - startedAt;
  const metrics = await sdk.read();
  const sum = (name: string): number => {
    const metric = metrics.find(({ descriptor }) => descriptor.name === name);
    if (metric?.dataPointType === DataPointType.HISTOGRAM) {
      return metric.dataPoints.reduce((total, { value }) => total + value.count, 0);
    }
    return (metric?.dataPoints ?? []).reduce((total, { value }) => total + (value as number), 0);
  };
  return {
    otelSeries: countSeries(metrics),
    promSeries: samples.length,
    samples,
    scrapeMs,
    otelAttempts: sum("evenkeel.attempts"),
    otelDurations: sum("http.client.request.duration"),
  };
}

function print(what: string, { otelSeries, promSeries, scrapeMs }: Totals): void {
  printFigure(
    `32 metrics cardinality, ${what}`,
    `${count(promSeries)} series in Prometheus and ${count(otelSeries)} in OpenTelemetry (pass: ${count(mostSeries)})`,
    `a scrape took ${ms(scrapeMs)}`,
  );
}

function expectCapped({ otelSeries, promSeries }: Totals): void {
  expect(promSeries).toBeLessThanOrEqual(mostSeries);
  expect(otelSeries).toBeLessThanOrEqual(mostSeries);
}

const sumOf = (values: Record<string, number>): number =>
  Object.values(values).reduce((sum, one) => sum + one, 0);

test("100,000 hosts of one service", async () => {
  await using orders = createCluster("orders", addresses);
  await callAll(orders, hosts);
  const totals = await read();
  print("one service", totals);
  expectCapped(totals);
  expect(orders.nodes.filter(({ calls }) => calls > 0).length).toBeGreaterThan(0.8 * hosts);
  // Nothing is lost: the rest is there, as "other".
  expect(sumOf(valuesOf(totals.samples, "evenkeel_attempts_total"))).toBe(hosts);
  expect(totals.otelAttempts).toBe(hosts);
  expect(totals.otelDurations).toBe(hosts);
  expect(sumOf(valuesOf(totals.samples, "evenkeel_nodes"))).toBe(hosts);
  const own = new Set(totals.samples.map(({ labels }) => labels.node).filter((node) => node !== undefined));
  expect(own.size).toBe(21);
  expect(own).toContain("other");
});

test("100,000 hosts of 1,000 services", async () => {
  const size = 100;
  const clusters = Array.from({ length: hosts / size }, (_, index) =>
    createCluster(`service-${index}`, addresses.slice(index * size, (index + 1) * size)),
  );
  for (const cluster of clusters) await callAll(cluster, 60);
  const totals = await read();
  print("1,000 services", totals);
  expectCapped(totals);
  expect(sumOf(valuesOf(totals.samples, "evenkeel_calls_total"))).toBe(60 * clusters.length);
  expect(totals.otelDurations).toBe(60 * clusters.length);
  expect(sumOf(valuesOf(totals.samples, "evenkeel_nodes"))).toBe(hosts);
  for (const cluster of clusters) await cluster.close();
});

test("100,000 hosts that come and go, 20 at a time", async () => {
  const nodes = list(addresses.slice(0, 20));
  await using orders = createCluster("orders", nodes);
  let most = 0;
  let seen = 0;
  for (let from = 0; from < hosts; from += 20) {
    nodes.set(addresses.slice(from, from + 20));
    await callAll(orders, 20);
    if (from % 10_000 !== 0) continue;
    const totals = await read();
    expectCapped(totals);
    most = Math.max(most, totals.promSeries, totals.otelSeries);
    // Those that are there now have series of their own in Prometheus, however many there were before.
    const present = new Set(orders.nodes.map(({ address }) => address));
    const own = totals.samples
      .filter(({ name }) => name === "evenkeel_inflight")
      .map(({ labels }) => labels.node);
    expect(own.filter((node) => node !== undefined && present.has(node))).toHaveLength(20);
    seen++;
  }
  expect(seen).toBe(10);
  const totals = await read();
  print("come and gone", totals);
  expect(most).toBeLessThanOrEqual(mostSeries);
  // Every single attempt is in OpenTelemetry's figures, which are for good.
  expect(totals.otelAttempts).toBe(hosts);
});

test("whatever comes: every service, node, state, method, status and reason at once", async () => {
  const services = Array.from({ length: 15 }, (_, index) => `service-${index}`);
  const states = ["draining", "down", "ejected", "probing", "warming", "suspect", "ready"] as const;
  const codes: readonly BalancerErrorCode[] = [
    "ERR_NO_NODE",
    "ERR_DEADLINE",
    "ERR_OVERLOADED",
    "ERR_RATE_LIMITED",
    "ERR_CIRCUIT_OPEN",
    "ERR_CLOSED",
    "ERR_CONFIG",
  ];
  const answer = (message: unknown) => {
    for (const [from, service] of services.entries()) {
      const nodes = addresses
        .slice(from * 10, from * 10 + 10)
        .map(
          (address, index) => ({ address, state: states[index % 7], inflight: 1, latencyMs: 1 }) as NodeView,
        );
      const counts = { open: 1, idle: 1, connecting: 1, waiting: 1 };
      (message as Collection).add({
        service,
        nodes,
        failingOpen: true,
        discovery: { state: "never", staleSince: undefined },
        discoveryAgeMs: 1,
        connections: new Map(nodes.map(({ address }) => [address, counts])),
      });
    }
  };
  collections.subscribe(answer);
  const call = { method: "GET", path: "/", call: {} };
  for (const service of services) {
    callEnds.publish({ ...call, service, outcome: "success", attempts: 1 });
    for (const code of codes) rejects.publish({ service, code, message: "" });
  }
  // In turns, so that each service has nodes with and without a place.
  for (let index = 0; index < 10; index++) {
    for (const [from, service] of services.entries()) {
      const address = addresses[from * 10 + index] as string;
      nodeStates.publish({ service, address, from: "ready", to: "ejected", reason: "" });
      for (const [at, [reason, outcome]] of reasons.entries()) {
        const ended = { ...call, service, address, attempt: 1, outcome, reason, detail: "" };
        for (const method of methods) {
          const statusCode = 200 + ((index * 37 + at) % 400);
          attemptEnds.publish({ ...ended, method, statusCode, latencyMs: 1, durationMs: 1 });
        }
      }
    }
  }
  const totals = await read();
  collections.unsubscribe(answer);
  print("whatever comes", totals);
  expectCapped(totals);
  expect(totals.otelDurations).toBe(15 * 10 * reasons.length * methods.length);
  // As the options say: a node is 43 series at most, and a service 56.
  expect(totals.promSeries).toBe(20 * 49 + 11 * 62);
});
