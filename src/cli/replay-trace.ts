/** Reads a trace: what can be read, and what is wrong with the rest. */
import { type TraceAttempt, type TraceHeader, type TraceLoss, traceVersion } from "./record-format.ts";
import { UsageError } from "./usage.ts";

export interface Trace {
  /** In the order in which they began. */
  readonly attempts: readonly TraceAttempt[];
  /** Attempts that were under way when their process ended, and lines that were dropped as the disk was slow. */
  readonly open: number;
  readonly dropped: number;
  readonly problems: readonly TraceProblem[];
}

export interface TraceProblem {
  /** Counted from 1. */
  readonly line: number;
  readonly message: string;
}

/** @throws UsageError when it is no trace, or one of a newer version. */
export function parseTrace(text: string): Trace {
  const attempts: TraceAttempt[] = [];
  const problems: TraceProblem[] = [];
  const seen = new Set<string>();
  let open = 0;
  let dropped = 0;
  const lines = text.split("\n");
  checkHeader(lines[0] ?? "");
  for (const [index, line] of lines.entries()) {
    if (index === 0 || line.trim() === "") continue;
    const read = readLine(line);
    if (typeof read === "string") {
      problems.push({ line: index + 1, message: read });
      continue;
    }
    const key = `${read.pid} ${read.line}`;
    if (seen.has(key)) continue;
    seen.add(key);
    if (read.kind === "end") {
      attempts.push(read);
    } else {
      open += read.open;
      dropped += read.dropped;
    }
  }
  attempts.sort((left, right) => beganAt(left) - beganAt(right));
  return { attempts, open, dropped, problems };
}

/** When an attempt began, in milliseconds since 1970. */
export function beganAt(attempt: TraceAttempt): number {
  return attempt.at - attempt.durationMs;
}

function checkHeader(line: string): void {
  if (line.trim() === "") throw new UsageError("the trace is empty");
  const header = parse(line) as Partial<TraceHeader> | undefined;
  if (typeof header !== "object" || header === null || header.evenkeel !== "trace") {
    throw new UsageError("this is no trace of evenkeel record: its first line is no header");
  }
  if (header.version !== traceVersion) {
    throw new UsageError(`the trace has version ${header.version}; this reads ${traceVersion}`);
  }
}

/** The line, or what is wrong with it. */
function readLine(line: string): TraceAttempt | TraceLoss | string {
  const value = parse(line);
  if (value === undefined) return "no JSON";
  if (typeof value !== "object" || value === null) return "no object";
  const entry = value as Readonly<Record<string, unknown>>;
  const missing = (names: readonly string[], type: "number" | "string"): string | undefined =>
    names.find((name) => typeof entry[name] !== type);
  const { kind } = entry;
  if (kind === "loss") {
    const bad = missing(["at", "pid", "line", "open", "dropped"], "number");
    return bad === undefined ? (value as TraceLoss) : `${bad} is no number`;
  }
  if (kind !== "end") return `unknown kind ${JSON.stringify(kind)}`;
  const badNumber = missing(["at", "pid", "line", "attempt", "durationMs"], "number");
  if (badNumber !== undefined) return `${badNumber} is no number`;
  const badText = missing(["service", "address", "reason"], "string");
  if (badText !== undefined) return `${badText} is no string`;
  const { outcome, latencyMs, durationMs } = entry;
  if (outcome !== "success" && outcome !== "failure" && outcome !== "ignored") {
    return `unknown outcome ${JSON.stringify(outcome)}`;
  }
  if (latencyMs !== undefined && !(typeof latencyMs === "number" && latencyMs >= 0)) {
    return "latencyMs is no number from 0 on";
  }
  if (!((durationMs as number) >= 0)) return "durationMs is less than 0";
  return value as TraceAttempt;
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
