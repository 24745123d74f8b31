/** OpenTelemetry's own SDKs with exporters that keep what they are given. */
import { context, propagation } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import {
  AggregationTemporality,
  DataPointType,
  InMemoryMetricExporter,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace";

export class MetricsSdk implements AsyncDisposable {
  readonly provider: MeterProvider;
  readonly #exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);

  constructor() {
    // Exports only when it is asked to.
    const reader = new PeriodicExportingMetricReader({
      exporter: this.#exporter,
      exportIntervalMillis: 3_600_000,
    });
    this.provider = new MeterProvider({ readers: [reader] });
  }

  /** All metrics as an exporter is given them now. */
  async read(): Promise<readonly MetricData[]> {
    this.#exporter.reset();
    await this.provider.forceFlush();
    const [resource] = this.#exporter.getMetrics();
    return resource?.scopeMetrics.flatMap(({ metrics }) => metrics) ?? [];
  }

  /** The values of one metric, by their attributes; of a histogram, the counts. */
  async values(name: string): Promise<Record<string, number>> {
    const metric = (await this.read()).find(({ descriptor }) => descriptor.name === name);
    const values: Record<string, number> = {};
    for (const { attributes, value } of metric?.dataPoints ?? []) {
      values[Object.values(attributes).join(" ")] = typeof value === "number" ? value : value.count;
    }
    return values;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.provider.shutdown();
  }
}

/** As Prometheus would store them: a histogram has a series for each bucket, and one each for sum and count. */
export function countSeries(metrics: readonly MetricData[]): number {
  let series = 0;
  for (const metric of metrics) {
    if (metric.dataPointType === DataPointType.HISTOGRAM) {
      for (const { value } of metric.dataPoints) series += value.buckets.counts.length + 2;
    } else {
      series += metric.dataPoints.length;
    }
  }
  return series;
}

/** Also makes itself the process's context manager and propagator, which have no other way in. */
export class TracesSdk implements AsyncDisposable {
  readonly provider: TracerProvider;
  readonly #exporter = new InMemorySpanExporter();

  constructor() {
    this.provider = new TracerProvider({
      spanProcessors: [new SimpleSpanProcessor({ exporter: this.#exporter })],
    });
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  }

  /** Those that ended, in that order. */
  get spans(): readonly ReadableSpan[] {
    return this.#exporter.getFinishedSpans();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    context.disable();
    propagation.disable();
    await this.provider.shutdown();
  }
}
