/** The figures as OpenTelemetry metrics: one histogram of the HTTP conventions, and our own as observable ones. */
import type { Attributes, BatchObservableResult, Meter, MetricOptions, Observable } from "@opentelemetry/api";
import type { AttemptEndEvent } from "../core/events.ts";
import { collect } from "../core/observation.ts";
import { feed } from "./feed.ts";
import { durationBuckets, type Figure, figures, type Labels } from "./figures.ts";
import { Ledger } from "./ledger.ts";
import { RequestAttributes } from "./otel-requests.ts";
import type { SeriesLimits } from "./series-options.ts";

/** Combinations of method, status and error for each service, on the average. */
const requestsPerService = 4;

/** Counts from now on. @returns what ends it. */
export function startMetrics(meter: Meter, limits: SeriesLimits): (() => void)[] {
  const ledger = new Ledger<undefined>({
    limits,
    // The SDK goes on reporting what it was given once: a place that another node takes would be one series more.
    keepsRows: true,
    createSink: () => undefined,
    removed: () => {},
  });
  const requests = new RequestAttributes(requestsPerService * (limits.maxServices + 1));
  const durations = meter.createHistogram("http.client.request.duration", {
    unit: "s",
    description: "Duration of HTTP client requests",
    advice: { explicitBucketBoundaries: [...durationBuckets] },
  });
  const instruments = figures.map((figure) => ({ figure, instrument: createInstrument(meter, figure) }));
  const observables = instruments.map(({ instrument }) => instrument);

  const attemptEnded = (event: AttemptEndEvent) => {
    const row = ledger.attemptEnded(event);
    if (row === undefined) return;
    durations.record(event.durationMs / 1_000, requests.of(row.service.name, event));
  };
  const observe = (result: BatchObservableResult) => {
    ledger.observe(collect());
    for (const { figure, instrument } of instruments) {
      figure.read(ledger, (labels, value) => result.observe(instrument, value, attributesOf(labels)));
    }
  };
  meter.addBatchObservableCallback(observe, observables);
  return [...feed(ledger, attemptEnded), () => meter.removeBatchObservableCallback(observe, observables)];
}

function createInstrument(meter: Meter, { name, kind, unit, help }: Figure): Observable {
  const fullName = ["evenkeel", ...name].join(".");
  const options: MetricOptions = { unit, description: help };
  if (kind === "counter") return meter.createObservableCounter(fullName, options);
  if (kind === "sum") return meter.createObservableUpDownCounter(fullName, options);
  return meter.createObservableGauge(fullName, options);
}

function attributesOf(labels: Labels): Attributes {
  const attributes: Attributes = {};
  for (const [name, value] of Object.entries(labels)) attributes[`evenkeel.${name}`] = value;
  return attributes;
}
