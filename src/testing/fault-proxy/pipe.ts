/**
 * One direction of a proxied connection: takes what the source sends, and passes it on as the present fault allows.
 *
 * The ends of the source, FIN and RST, wait in the same queue as its bytes, so that nothing overtakes.
 */
import type { Socket } from "node:net";
import type { Random } from "../../core/random.ts";
import { noFault, type ResolvedFault } from "./fault.ts";

/** How much waits before the source is told to slow down, in bytes: about what a kernel would hold. */
const mostQueued = 64 * 1_024;

type Item =
  | { readonly what: "bytes"; bytes: Buffer; dueAt: number }
  | { readonly what: "end" | "reset"; dueAt: number };

export interface PipeHost {
  readonly direction: "request" | "response";
  readonly random: Random;
  /** Told of bytes as they are passed on. */
  passed(bytes: number): void;
  /** The number of bytes after which the fault ends the connection has passed. */
  cut(): void;
}

export class Pipe {
  readonly #source: Socket;
  readonly #sink: Socket;
  readonly #host: PipeHost;
  readonly #queue: Item[] = [];
  #queued = 0;
  #fault: ResolvedFault = noFault;
  /** How many more bytes the fault lets through. */
  #left = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | NodeJS.Immediate | undefined = undefined;
  /** With `drip`: the earliest time for the next bytes. */
  #nextAt = 0;
  #sinkIsFull = false;
  #isOver = false;

  constructor(source: Socket, sink: Socket, host: PipeHost) {
    this.#source = source;
    this.#sink = sink;
    this.#host = host;
    source.on("data", (bytes: Buffer) => this.#take({ what: "bytes", bytes, dueAt: 0 }));
    source.on("end", () => this.#take({ what: "end", dueAt: 0 }));
    source.on("error", () => this.#take({ what: "reset", dueAt: 0 }));
    sink.on("drain", () => {
      this.#sinkIsFull = false;
      this.#pump();
    });
  }

  /** What waits is held to the new fault from now on. */
  setFault(fault: ResolvedFault): void {
    this.#fault = fault;
    const counts =
      (fault.kind === "reset" || fault.kind === "truncate") && this.#host.direction === "response";
    this.#left = counts ? (fault.afterBytes ?? 0) : Number.POSITIVE_INFINITY;
    this.#nextAt = 0;
    let dueAt = 0;
    for (const item of this.#queue) {
      item.dueAt = this.#dueAt(dueAt);
      dueAt = item.dueAt;
    }
    this.#pump();
  }

  /** Passes nothing more, and holds nothing. */
  close(): void {
    this.#isOver = true;
    this.#queue.length = 0;
    this.#clearTimer();
  }

  #take(item: Item): void {
    if (this.#isOver) return;
    item.dueAt = this.#dueAt(this.#queue.at(-1)?.dueAt ?? 0);
    this.#queue.push(item);
    if (item.what === "bytes") this.#queued += item.bytes.length;
    this.#pump();
    if (this.#queued > mostQueued) this.#source.pause();
  }

  /** @param after what is before it in the queue is due then. */
  #dueAt(after: number): number {
    const fault = this.#fault;
    if (fault.kind !== "delay" || !this.#concerns(fault)) return 0;
    return Math.max(after, performance.now() + fault.ms + this.#host.random() * fault.jitterMs);
  }

  #concerns({ direction }: { readonly direction: string }): boolean {
    return direction === "both" || direction === this.#host.direction;
  }

  get #isHeld(): boolean {
    const fault = this.#fault;
    return fault.kind === "blackhole" || (fault.kind === "stall" && this.#concerns(fault));
  }

  #pump(): void {
    this.#clearTimer();
    for (let item = this.#queue[0]; item !== undefined && !this.#isOver; item = this.#queue[0]) {
      if (this.#isHeld || this.#sinkIsFull) break;
      const dueAt = Math.max(item.dueAt, this.#nextAt);
      if (dueAt > performance.now()) {
        this.#pumpAt(dueAt);
        break;
      }
      if (item.what === "bytes") this.#pass(item);
      else this.#passEnd(item.what);
    }
    if (this.#queued <= mostQueued / 2 && this.#source.isPaused()) this.#source.resume();
  }

  #pass(item: Item & { readonly what: "bytes" }): void {
    const fault = this.#fault;
    const drips = fault.kind === "drip" && this.#concerns(fault);
    const size = Math.min(item.bytes.length, this.#left, drips ? fault.bytes : Number.POSITIVE_INFINITY);
    const bytes = item.bytes.subarray(0, size);
    if (size === item.bytes.length) this.#queue.shift();
    else item.bytes = item.bytes.subarray(size);
    this.#queued -= size;
    this.#left -= size;
    // 0 is "as soon as others have had their turn".
    if (drips) this.#nextAt = performance.now() + Math.max(fault.everyMs, 0.001);
    if (size > 0) {
      this.#host.passed(size);
      // The kernel must have it before a RST can follow, which would overtake what is still to be written.
      this.#sinkIsFull = !this.#sink.write(bytes, this.#left > 0 ? undefined : () => this.#host.cut());
    } else {
      this.#host.cut();
    }
    if (this.#left === 0) this.close();
  }

  #passEnd(what: "end" | "reset"): void {
    this.close();
    if (what === "end") this.#sink.end();
    else this.#sink.resetAndDestroy();
  }

  #pumpAt(dueAt: number): void {
    const waitMs = dueAt - performance.now();
    this.#timer =
      waitMs < 0.5 ? setImmediate(() => this.#pump()) : setTimeout(() => this.#pump(), Math.ceil(waitMs));
    this.#timer.unref();
  }

  #clearTimer(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer as NodeJS.Timeout);
    clearImmediate(this.#timer as NodeJS.Immediate);
    this.#timer = undefined;
  }
}
