/**
 * `evenkeel/otel`: metrics and spans of every cluster in the process, through `@opentelemetry/api`.
 *
 * It listens to the events on `diagnostics_channel`: nothing is paid for before `otel()` is called, nor after what it
 * returns was.
 *
 * @example
 * const stop = otel(); // after the SDK was registered
 * // ...
 * stop();
 */
import type { MeterProvider, TracerProvider } from "@opentelemetry/api";
import { OptionReader } from "../core/option-reader.ts";
import { type Stop, stopAll } from "./feed.ts";
import { startMetrics } from "./otel-metrics.ts";
import { startSpans } from "./otel-spans.ts";
import { loadPeer } from "./peer.ts";
import { readSeriesOptions, type SeriesOptions } from "./series-options.ts";

export type { Stop } from "./feed.ts";
export type { SeriesOptions } from "./series-options.ts";

type Api = typeof import("@opentelemetry/api");

export interface OtelOptions extends SeriesOptions {
  /** Default: the one that is registered with `@opentelemetry/api` when `otel()` is called. */
  readonly meterProvider?: MeterProvider | undefined;
  /** Default: the one that is registered with `@opentelemetry/api`. */
  readonly tracerProvider?: TracerProvider | undefined;
  /** Default true. */
  readonly metrics?: boolean | undefined;
  /** A span for each attempt, and trace context in its headers. Default true. */
  readonly spans?: boolean | undefined;
  /**
   * `@opentelemetry/api` itself, for programs that are bundled into one file. Default: what Node.js finds under that
   * name.
   */
  readonly api?: Api | undefined;
}

/**
 * Tells OpenTelemetry what all clusters of the process do, from now on.
 *
 * @returns the function that ends it; also for `using`.
 * @throws Error that says what to install when `@opentelemetry/api` is not there; TypeError or RangeError that names
 *   the option and the value it got.
 */
export function otel(options: OtelOptions = {}): Stop {
  const reader = new OptionReader(options, "otel");
  const limits = readSeriesOptions(reader);
  const meterProvider = reader.object<MeterProvider>("meterProvider", ["getMeter"]);
  const tracerProvider = reader.object<TracerProvider>("tracerProvider", ["getTracer"]);
  const withMetrics = reader.boolean("metrics", true);
  const withSpans = reader.boolean("spans", true);
  const given = reader.object<Api>("api", []);
  reader.end();
  const api = given ?? loadPeer<Api>("@opentelemetry/api", "evenkeel/otel");
  const undo: (() => void)[] = [];
  if (withMetrics) {
    const meter = (meterProvider ?? api.metrics).getMeter("evenkeel");
    undo.push(...startMetrics(meter, limits));
  }
  if (withSpans) {
    const tracer = (tracerProvider ?? api.trace).getTracer("evenkeel");
    undo.push(...startSpans(api, tracer, limits.services));
  }
  return stopAll(undo);
}
