/**
 * How busy an instance says it is: read from and written to the HTTP response header `endpoint-load-metrics`.
 *
 * The header is that of ORCA (Open Request Cost Aggregation), as Envoy, vLLM and others write and read it, in its two
 * readable forms: `TEXT cpu_utilization=0.3,named_metrics.inflight=12` and `JSON {"cpu_utilization":0.3,...}`. ORCA has no
 * field for the number of calls in flight, so that is the named metric `inflight`. For gRPC there is `orca.ts`.
 */

export interface LoadReport {
  /** Calls that the instance has accepted and not yet answered, from all its callers together. */
  readonly inflight?: number;
  /** Share of the processor time that it may use; above 1 where it uses more than that. */
  readonly cpuUtilization?: number;
  /** What the application itself takes for its utilization; it counts in place of the processor's where it is there. */
  readonly applicationUtilization?: number;
  /** Share of the memory that it may use. */
  readonly memUtilization?: number;
  /** Calls per second that it answers. */
  readonly rps?: number;
  /** Errors per second that it answers with. */
  readonly eps?: number;
}

/** A report in the making. */
export type LoadReportDraft = { -readonly [Field in keyof LoadReport]: LoadReport[Field] };

export const loadReportHeader = "endpoint-load-metrics";
/** The named metric that holds the number of calls in flight. */
export const inflightMetric = "inflight";

const namedPrefix = "named_metrics.";
/** Longer than any report of ours by far; what is longer still is not worth its reading. */
const longestHeader = 4_096;

/** The names of the wire, in both spellings that protobuf's JSON allows. */
const fieldOf: ReadonlyMap<string, keyof LoadReport> = new Map([
  [`${namedPrefix}${inflightMetric}`, "inflight"],
  ["cpu_utilization", "cpuUtilization"],
  ["cpuUtilization", "cpuUtilization"],
  ["application_utilization", "applicationUtilization"],
  ["applicationUtilization", "applicationUtilization"],
  ["mem_utilization", "memUtilization"],
  ["memUtilization", "memUtilization"],
  ["rps_fractional", "rps"],
  ["rpsFractional", "rps"],
  ["eps", "eps"],
]);

/** What the header says, or undefined when there is nothing in it that is of use. A bad item is left out alone. */
export function parseLoadReport(header: unknown): LoadReport | undefined {
  if (typeof header !== "string" || header.length > longestHeader) return undefined;
  const draft: LoadReportDraft = {};
  if (header.startsWith("TEXT ")) readText(header, draft);
  else if (header.startsWith("JSON ")) readJson(header.slice(5), draft);
  return finished(draft);
}

/** The header's value, in the form TEXT; undefined for an empty report. */
export function formatLoadReport(report: LoadReport): string | undefined {
  const { inflight, cpuUtilization, applicationUtilization, memUtilization, rps, eps } = report;
  let text = "";
  const add = (name: string, value: number | undefined): void => {
    if (isMeasure(value)) text += `${text === "" ? "TEXT " : ","}${name}=${value}`;
  };
  add("cpu_utilization", cpuUtilization);
  add("mem_utilization", memUtilization);
  add("application_utilization", applicationUtilization);
  add("rps_fractional", rps);
  add("eps", eps);
  add(`${namedPrefix}${inflightMetric}`, inflight);
  return text === "" ? undefined : text;
}

/** Whether it is a number that a report can hold. */
export function isMeasure(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value < Number.POSITIVE_INFINITY;
}

/** The report, or undefined when nothing was found for it. */
export function finished(draft: LoadReportDraft): LoadReport | undefined {
  for (const _ in draft) return draft;
  return undefined;
}

function readText(header: string, draft: LoadReportDraft): void {
  for (let from = "TEXT ".length; from < header.length; ) {
    const comma = header.indexOf(",", from);
    const to = comma < 0 ? header.length : comma;
    readPair(header.slice(from, to), draft);
    from = to + 1;
  }
}

/** Envoy takes a colon for an equals sign. */
function readPair(pair: string, draft: LoadReportDraft): void {
  const at = pair.search(/[=:]/);
  if (at < 0) return;
  const field = fieldOf.get(pair.slice(0, at).trim());
  const digits = pair.slice(at + 1).trim();
  if (field !== undefined && digits !== "") put(draft, field, Number(digits));
}

function readJson(json: string, draft: LoadReportDraft): void {
  const content = parsed(json);
  if (!isRecord(content)) return;
  for (const name of Object.keys(content)) {
    const field = fieldOf.get(name);
    if (field !== undefined) put(draft, field, content[name]);
  }
  const named = content.named_metrics ?? content.namedMetrics;
  if (isRecord(named)) put(draft, "inflight", named[inflightMetric]);
}

function put(draft: LoadReportDraft, field: keyof LoadReport, value: unknown): void {
  if (isMeasure(value)) draft[field] = value;
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    // What is no JSON is no report. It comes with every answer of that node, so there is nobody to tell.
    return undefined;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
