/**
 * Which request bodies can be sent again, and how one that flows by is kept for that.
 *
 * undici silently sends an empty body when a stream that was read is dispatched again (undici.md). So a stream is
 * never handed to undici twice: each attempt gets a reader of its own over one shared source, and what was read
 * is kept up to a limit. Beyond it the call can no longer be repeated.
 */
import { types } from "node:util";

/** What is kept of one body, and of all bodies of one balancer together. */
const keptForOne = 64 * 1_024;
const keptForAll = 64 * 1_024 * 1_024;

/** Counts what all replayable bodies of one balancer keep in memory. */
export class ReplayMemory {
  #bytes = 0;

  take(bytes: number): boolean {
    if (this.#bytes + bytes > keptForAll) return false;
    this.#bytes += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#bytes -= bytes;
  }
}

/** How a body behaves when it is sent a second time. */
export type BodyKind = "none" | "repeatable" | "once";

export function bodyKind(body: unknown): BodyKind {
  if (body === null || body === undefined || body === "") return "none";
  if (typeof body !== "object") return "repeatable";
  if (ArrayBuffer.isView(body) || types.isAnyArrayBuffer(body) || body instanceof Blob) return "repeatable";
  if (isFormData(body)) return "repeatable";
  if (Symbol.asyncIterator in body || "pipe" in body || "getReader" in body) return "once";
  // An array starts anew each time, a generator does not: it is its own iterator.
  if (Symbol.iterator in body && typeof body[Symbol.iterator] === "function") {
    return ((body as Iterable<unknown>)[Symbol.iterator]() as unknown) === body ? "once" : "repeatable";
  }
  // Nothing that undici takes; it will say so.
  return "repeatable";
}

/** As undici tells them: by their tag, since FormData of another realm is no instance of ours. */
function isFormData(body: object): boolean {
  const { getAll, [Symbol.toStringTag]: tag } = body as Partial<FormData>;
  // Older packages carry the same tag on what is a stream.
  return tag === "FormData" && typeof getAll === "function";
}

type Source = AsyncIterator<unknown> | Iterator<unknown>;

export class ReplayBody {
  readonly #body: object;
  readonly #source: Source;
  readonly #memory: ReplayMemory;
  /** What was read; only from the present reader's place on once `#keeping` is false. */
  readonly #chunks: unknown[] = [];
  #keptBytes = 0;
  #keeping: boolean;
  #started = false;
  #done = false;
  #pulling: Promise<void> | undefined = undefined;
  #reader = 0;
  /** What the source itself threw: the caller's fault, not the node's. */
  error: unknown = undefined;

  /** @param keep whether the body may be needed a second time after a part of it was read. */
  constructor(body: object, memory: ReplayMemory, keep: boolean) {
    this.#body = body;
    this.#memory = memory;
    this.#keeping = keep;
    this.#source =
      Symbol.asyncIterator in body
        ? (body as AsyncIterable<unknown>)[Symbol.asyncIterator]()
        : (body as Iterable<unknown>)[Symbol.iterator]();
  }

  /** Whether another reader would get everything from the start. */
  get canRepeat(): boolean {
    return (this.#keeping || !this.#started) && this.error === undefined;
  }

  /** The body for the next attempt, from its start. An earlier reader gets nothing more. */
  async *read(): AsyncGenerator<unknown, void, undefined> {
    const reader = ++this.#reader;
    let position = 0;
    for (;;) {
      if (position < this.#chunks.length) {
        const chunk = this.#keeping ? this.#chunks[position++] : this.#chunks.shift();
        yield chunk;
      } else if (this.error !== undefined) {
        throw this.error;
      } else if (this.#done) {
        return;
      } else {
        await this.#pull();
        if (reader !== this.#reader) return;
        // From the pull on which the limit was passed, only what this reader has not had is left.
        if (!this.#keeping && position > 0) {
          this.#chunks.splice(0, position);
          position = 0;
        }
      }
    }
  }

  /** Gives up what is kept, and the source if it was not read to its end. */
  dispose(): void {
    this.#reader++;
    this.#stopKeeping();
    this.#chunks.length = 0;
    if (this.#done) return;
    this.#done = true;
    const body = this.#body as { destroy?: () => void };
    if (typeof body.destroy === "function") body.destroy();
    // A source that fails while it is let go of has nobody left to tell.
    else Promise.resolve(this.#source.return?.()).catch(() => {});
  }

  /** One read at a time, whoever waits for it: an abandoned reader may have begun it. */
  #pull(): Promise<void> {
    this.#started = true;
    this.#pulling ??= this.#pullOnce().finally(() => {
      this.#pulling = undefined;
    });
    return this.#pulling;
  }

  async #pullOnce(): Promise<void> {
    try {
      const { done, value } = await this.#source.next();
      if (done === true) {
        this.#done = true;
        return;
      }
      if (this.#keeping && !this.#keep(byteLength(value))) this.#stopKeeping();
      this.#chunks.push(value);
    } catch (error) {
      this.#done = true;
      this.error = error ?? new Error("the request body threw");
    }
  }

  #keep(bytes: number): boolean {
    if (this.#keptBytes + bytes > keptForOne || !this.#memory.take(bytes)) return false;
    this.#keptBytes += bytes;
    return true;
  }

  #stopKeeping(): void {
    this.#keeping = false;
    this.#memory.giveBack(this.#keptBytes);
    this.#keptBytes = 0;
  }
}

function byteLength(chunk: unknown): number {
  if (typeof chunk === "string") return Buffer.byteLength(chunk);
  if (ArrayBuffer.isView(chunk) || types.isAnyArrayBuffer(chunk))
    return (chunk as ArrayBufferView).byteLength;
  return 0;
}
