/**
 * Loaded by `--import` into the program that is recorded: writes each attempt that ends as a line of the trace.
 *
 * It listens on diagnostics_channel and needs nothing of Evenkeel, so that it fits whatever copy the program has.
 * Lines are collected and written by Node's thread pool, one write at a time; when the disk falls behind by more
 * than `mostBuffered`, lines are dropped and counted instead of kept. What is left when the program exits is written
 * then. The write that is under way at that moment may or may not happen, so its lines are written again, and the
 * reader takes each once.
 */
import { subscribe } from "node:diagnostics_channel";
import { openSync, write, writeSync } from "node:fs";
import type { AttemptEndEvent } from "../core/events.ts";
import type { TraceAttempt, TraceLine, TraceLoss } from "./record-format.ts";

/** Set by `evenkeel record` for the program and all that it starts. */
const path = process.env.EVENKEEL_RECORD_FILE;
/** What a crash may cost; a write each quarter of a second is nothing for a disk. */
const flushMs = 250;
/** In characters; some 40,000 attempts. */
const mostBuffered = 8 * 1024 * 1024;

class Recording {
  readonly #path: string;
  #descriptor: number | undefined = undefined;
  #line = 0;
  #open = 0;
  #dropped = 0;
  /** Lines that wait, and those that are being written. */
  #waiting = "";
  #writing = "";
  #timer: NodeJS.Timeout | undefined = undefined;

  constructor(path: string) {
    this.#path = path;
  }

  started(): void {
    this.#open++;
  }

  ended(event: AttemptEndEvent): void {
    this.#open--;
    const { service, address, attempt, outcome, reason, latencyMs, durationMs } = event;
    const line: TraceAttempt = {
      kind: "end",
      at: now(),
      pid: process.pid,
      line: ++this.#line,
      service,
      address,
      attempt,
      outcome,
      reason,
      latencyMs: latencyMs === undefined ? undefined : round(latencyMs),
      durationMs: round(durationMs),
    };
    this.#add(line);
  }

  /** At the end of the process, when nothing asynchronous happens any more. */
  finish(): void {
    if (this.#open > 0 || this.#dropped > 0) {
      const loss: TraceLoss = {
        kind: "loss",
        at: now(),
        pid: process.pid,
        line: ++this.#line,
        open: Math.max(0, this.#open),
        dropped: this.#dropped,
      };
      this.#waiting += `${JSON.stringify(loss)}\n`;
    }
    const rest = this.#writing + this.#waiting;
    if (rest === "") return;
    try {
      const bytes = Buffer.from(rest);
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#file(), bytes, done);
    } catch {
      // The program's end is not ours to disturb.
    }
  }

  #add(line: TraceLine): void {
    if (this.#waiting.length + this.#writing.length > mostBuffered) {
      this.#dropped++;
      return;
    }
    this.#waiting += `${JSON.stringify(line)}\n`;
    this.#timer ??= setTimeout(() => this.#flush(), flushMs).unref();
  }

  #flush(): void {
    this.#timer = undefined;
    if (this.#writing !== "" || this.#waiting === "") return;
    this.#writing = this.#waiting;
    this.#waiting = "";
    try {
      this.#write(Buffer.from(this.#writing), 0);
    } catch {
      this.#gaveUp();
    }
  }

  #write(bytes: Buffer, from: number): void {
    write(this.#file(), bytes, from, bytes.length - from, null, (error, written) => {
      if (error !== null) return this.#gaveUp();
      if (from + written < bytes.length) return this.#write(bytes, from + written);
      this.#writing = "";
      this.#timer ??= setTimeout(() => this.#flush(), flushMs).unref();
    });
  }

  /** A full disk, say: the program goes on, and what could not be written counts as dropped. */
  #gaveUp(): void {
    this.#dropped += this.#writing.split("\n").length - 1;
    this.#writing = "";
  }

  /** Opened with the first line: most processes that a program starts make no call. */
  #file(): number {
    this.#descriptor ??= openSync(this.#path, "a");
    return this.#descriptor;
  }
}

function now(): number {
  return round(performance.timeOrigin + performance.now());
}

/** Microseconds are enough, and short. */
function round(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}

if (path !== undefined && path !== "") {
  const recording = new Recording(path);
  subscribe("evenkeel:attempt:start", () => recording.started());
  subscribe("evenkeel:attempt:end", (event) => recording.ended(event as AttemptEndEvent));
  process.on("exit", () => recording.finish());
}
