/**
 * The lines of a trace, as `evenkeel record` writes and `evenkeel replay` reads them: JSON, one object a line.
 *
 * The first line is the header. Times are milliseconds since 1970 with fractions, so that the lines of several
 * processes fit together. What a call was about (its path, its headers) is not recorded: a trace may be passed on.
 */

/** Changes when a reader of the old format would misread the new one. */
export const traceVersion = 1;

export interface TraceHeader {
  readonly evenkeel: "trace";
  readonly version: number;
  readonly at: number;
}

/** An attempt that ended. */
export interface TraceAttempt {
  readonly kind: "end";
  /** When it ended; it began `durationMs` before. */
  readonly at: number;
  readonly pid: number;
  /** Counts the lines of a process. What was being written when it ended may be there twice. */
  readonly line: number;
  readonly service: string;
  readonly address: string;
  /** 1 for the first try of a call. */
  readonly attempt: number;
  readonly outcome: "success" | "failure" | "ignored";
  readonly reason: string;
  readonly latencyMs?: number | undefined;
  readonly durationMs: number;
}

/** What a process could not record: attempts that had not ended when it did, and lines that a slow disk cost. */
export interface TraceLoss {
  readonly kind: "loss";
  readonly at: number;
  readonly pid: number;
  readonly line: number;
  readonly open: number;
  readonly dropped: number;
}

export type TraceLine = TraceAttempt | TraceLoss;
