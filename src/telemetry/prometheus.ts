/**
 * `evenkeel/prometheus`: the figures of every cluster in the process, in a registry of `prom-client`.
 *
 * Counts come from the events on `diagnostics_channel`, and everything else is looked at when the registry is
 * scraped: nothing is paid for before `prometheus()` is called, nor after what it returns was.
 *
 * @example
 * const stop = prometheus(); // in prom-client's default registry
 * // ...
 * stop();
 */
import type { Counter, Gauge, OpenMetricsContentType, Registry } from "prom-client";
import type { AttemptEndEvent } from "../core/events.ts";
import { collect } from "../core/observation.ts";
import { OptionReader } from "../core/option-reader.ts";
import { feed, type Stop, stopAll } from "./feed.ts";
import { type Books, durationBuckets, type Figure, figures, type LabelName, type Labels } from "./figures.ts";
import { Ledger } from "./ledger.ts";
import { loadPeer } from "./peer.ts";
import { readSeriesOptions, type SeriesOptions } from "./series-options.ts";

export type { Stop } from "./feed.ts";
export type { SeriesOptions } from "./series-options.ts";

type Client = typeof import("prom-client");
type AnyRegistry = Registry | Registry<OpenMetricsContentType>;

export interface PrometheusOptions extends SeriesOptions {
  /** Where the metrics are registered. Default: prom-client's own registry. */
  readonly register?: AnyRegistry | undefined;
  /** What the metrics' names begin with. Default `evenkeel_`. */
  readonly prefix?: string | undefined;
  /**
   * Upper bounds of the histogram's buckets, in seconds, ascending. Default: the 14 that OpenTelemetry's HTTP
   * conventions advise, from 5 ms to 10 s. Each one more is a series more for each node.
   */
  readonly buckets?: readonly number[] | undefined;
  /** `prom-client` itself, for programs that are bundled into one file. Default: what Node.js finds under that name. */
  readonly client?: Client | undefined;
}

interface Observer {
  observe(seconds: number): void;
}

/**
 * Registers the metrics of all clusters of the process.
 *
 * @returns the function that ends it and takes the metrics out of the registry; also for `using`.
 * @throws Error that says what to install when `prom-client` is not there, or that the registry has the metrics
 *   already; TypeError or RangeError that names the option and the value it got.
 */
export function prometheus(options: PrometheusOptions = {}): Stop {
  const reader = new OptionReader(options, "prometheus");
  const limits = readSeriesOptions(reader);
  const chosen = reader.object<AnyRegistry>("register", ["registerMetric", "removeSingleMetric"]);
  const prefix = reader.string("prefix") ?? "evenkeel_";
  const buckets = readBuckets(reader.array("buckets", durationBuckets));
  const given = reader.object<Client>("client", []);
  reader.end();
  const client = given ?? loadPeer<Client>("prom-client", "evenkeel/prometheus");
  const registry = (chosen ?? client.register) as Registry;

  const durations = new client.Histogram({
    name: `${prefix}attempt_duration_seconds`,
    help: "Time from dispatch to the end of the body, of attempts that ended as success or failure",
    labelNames: [labelNames.service, labelNames.node],
    buckets: [...buckets],
    registers: [registry],
    collect: () => refresh(),
  });
  const ledger = new Ledger<Observer>({
    limits,
    keepsRows: false,
    createSink: (service, node) => durations.labels(labelsOf({ service, node })),
    removed: ({ service, node }) => durations.remove(labelsOf({ service: service.name, node })),
  });
  const attemptEnded = (event: AttemptEndEvent) => {
    const row = ledger.attemptEnded(event);
    if (row !== undefined && event.outcome !== "ignored") row.sink.observe(event.durationMs / 1_000);
  };
  const refresh = oncePerScrape(() => ledger.observe(collect()));
  const metrics = figures.map((figure) => register(client, registry, prefix, figure, ledger, refresh));
  return stopAll([
    ...feed(ledger, attemptEnded),
    () => {
      for (const name of [`${prefix}attempt_duration_seconds`, ...metrics]) registry.removeSingleMetric(name);
    },
  ]);
}

/**
 * What labels are called here. A service monitor of Kubernetes' Prometheus operator labels all that it scrapes with
 * the `service` that was scraped, and would rename ours.
 */
const labelNames: Readonly<Record<LabelName, string>> = {
  service: "upstream",
  node: "node",
  outcome: "outcome",
  reason: "reason",
  code: "code",
  state: "state",
};

function labelsOf(labels: Labels): Record<string, string> {
  const named: Record<string, string> = {};
  for (const [name, value] of Object.entries(labels)) named[labelNames[name as LabelName]] = value;
  return named;
}

/** `evenkeel_discovery_age_seconds`, `evenkeel_calls_total`. */
function nameOf(prefix: string, { name, unit, kind }: Figure): string {
  const base = prefix + name.join("_");
  if (kind === "counter") return `${base}_total`;
  return unit === "s" ? `${base}_seconds` : base;
}

/** Adds one figure to the registry, which asks for it at each scrape. @returns its name. */
function register(
  client: Client,
  registry: Registry,
  prefix: string,
  figure: Figure,
  books: Books,
  refresh: () => void,
): string {
  const common = {
    name: nameOf(prefix, figure),
    help: figure.help,
    labelNames: figure.labels.map((label) => labelNames[label]),
    registers: [registry],
  };
  if (figure.kind === "counter") {
    const counter: Counter = new client.Counter({
      ...common,
      collect() {
        refresh();
        counter.reset();
        figure.read(books, (labels, value) => counter.inc(labelsOf(labels), value));
      },
    });
  } else {
    const gauge: Gauge = new client.Gauge({
      ...common,
      // Over the processes of a cluster of Node's: the worst of them.
      aggregator: figure.kind === "gauge" ? "max" : "sum",
      collect() {
        refresh();
        gauge.reset();
        figure.read(books, (labels, value) => gauge.set(labelsOf(labels), value));
      },
    });
  }
  return common.name;
}

/** A scrape reads all metrics in one go: the clusters are asked once for all of them. */
function oncePerScrape(observe: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    queueMicrotask(() => {
      isDone = false;
    });
    observe();
  };
}

/** @throws RangeError unless they are numbers in ascending order. */
function readBuckets(buckets: readonly unknown[]): readonly number[] {
  const isAscending = buckets.every(
    (bound, index) => typeof bound === "number" && (index === 0 || bound > (buckets[index - 1] as number)),
  );
  if (buckets.length > 0 && isAscending) return buckets as readonly number[];
  throw new RangeError(`prometheus.buckets must be ascending numbers, got [${buckets.join(", ")}]`);
}
