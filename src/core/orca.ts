/**
 * A load report in the gRPC trailer `endpoint-load-metrics-bin`: the message `xds.data.orca.v3.OrcaLoadReport`.
 *
 * Written and read by hand, as grpc-js loads and compiles its definition anew for each report, at 17 ms a call
 * (grpc.md). The numbers of the fields are those of xds/data/orca/v3/orca_load_report.proto.
 */
import { finished, inflightMetric, isMeasure, type LoadReport, type LoadReportDraft } from "./load-report.ts";
import { bytesField, decodeVarint, doubleField, doubleOf, fieldsOf, textField, textOf } from "./protobuf.ts";

export const loadReportTrailer = "endpoint-load-metrics-bin";

/** Doubles of the message, by number. */
const doubles: ReadonlyMap<number, keyof LoadReport> = new Map([
  [1, "cpuUtilization"],
  [2, "memUtilization"],
  [6, "rps"],
  [7, "eps"],
  [9, "applicationUtilization"],
]);
/** `uint64 rps`, in use before there was field 6. */
const wholeRps = 3;
/** `map<string, double> named_metrics`. */
const namedMetrics = 8;
/** Longer than any report of ours by far. */
const longestReport = 4_096;

export function encodeLoadReport(report: LoadReport): Buffer {
  const parts: Buffer[] = [];
  for (const [number, name] of doubles) {
    const value = report[name];
    if (isMeasure(value)) parts.push(doubleField(number, value));
  }
  const { inflight } = report;
  if (isMeasure(inflight)) {
    parts.push(
      bytesField(namedMetrics, Buffer.concat([textField(1, inflightMetric), doubleField(2, inflight)])),
    );
  }
  return Buffer.concat(parts);
}

/** The report, or undefined for bytes that are none, or when there is nothing in it that is of use. */
export function decodeLoadReport(bytes: Uint8Array): LoadReport | undefined {
  if (bytes.length > longestReport) return undefined;
  const draft: LoadReportDraft = {};
  try {
    for (const { number, kind, content } of fieldsOf(bytes)) {
      const name = doubles.get(number);
      if (kind === "fixed64" && name !== undefined) put(draft, name, doubleOf(content));
      else if (kind === "varint" && number === wholeRps) draft.rps ??= decodeVarint(content);
      else if (kind === "bytes" && number === namedMetrics) readNamedMetric(content, draft);
    }
  } catch (error) {
    // It comes with every answer of that node: bytes that are no report must not fail the calls that they came with.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
  return finished(draft);
}

function readNamedMetric(entry: Uint8Array, draft: LoadReportDraft): void {
  let name = "";
  // As protobuf has it: what is 0 need not be sent.
  let value = 0;
  for (const { number, kind, content } of fieldsOf(entry)) {
    if (number === 1 && kind === "bytes") name = textOf(content);
    else if (number === 2 && kind === "fixed64") value = doubleOf(content);
  }
  if (name === inflightMetric) put(draft, "inflight", value);
}

function put(draft: LoadReportDraft, name: keyof LoadReport, value: number): void {
  if (isMeasure(value)) draft[name] = value;
}
