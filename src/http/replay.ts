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

const abandoned = new Error("the attempt was abandoned before its body was whole");

type Source = AsyncIterator<unknown> | Iterator<unknown>;

export class ReplayBody {
  readonly #body: object;
  readonly #source: Source;
  readonly #memory: ReplayMemory;
  /** What was read; once `#keeping` is false, only what the present reader has not had. */
  readonly #chunks: unknown[] = [];
  #keptBytes = 0;
  #keeping: boolean;
  #started = false;
  #done = false;
  #pulling: Promise<void> | undefined = undefined;
  /** The number of the present reader, and how many of the kept chunks it has had. */
  #reader = 0;
  #position = 0;
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

  /** The body for the next attempt, from its start. */
  read(): AsyncGenerator<unknown, void, undefined> {
    this.rewind();
    return this.#readAs(this.#reader);
  }

  /**
   * Takes the body away from its present reader: another attempt will follow. At once, since a read that is
   * under way may pass the limit before that attempt begins.
   */
  rewind(): void {
    this.#reader++;
    this.#position = 0;
  }

  async *#readAs(reader: number): AsyncGenerator<unknown, void, undefined> {
    for (;;) {
      // An end in good order would let the node take the part that it has for the whole.
      if (reader !== this.#reader) throw abandoned;
      if (this.#position < this.#chunks.length) {
        yield this.#keeping ? this.#chunks[this.#position++] : this.#chunks.shift();
      } else if (this.error !== undefined) {
        throw this.error;
      } else if (this.#done) {
        return;
      } else {
        await this.#pull();
      }
    }
  }

  /** Gives up what is kept, and the source if it was not read to its end. */
  dispose(): void {
    this.rewind();
    this.#stopKeeping();
    this.#chunks.length = 0;
    if (this.#done) return;
    this.#done = true;
    const body = this.#body as { destroy?: () => void };
    // A source that fails while it is let go of, at once or later, has nobody left to tell.
    new Promise((resolve) => {
      resolve(typeof body.destroy === "function" ? body.destroy() : this.#source.return?.());
    }).catch(() => {});
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
    this.#chunks.splice(0, this.#position);
    this.#position = 0;
  }
}

function byteLength(chunk: unknown): number {
  if (typeof chunk === "string") return Buffer.byteLength(chunk);
  if (ArrayBuffer.isView(chunk) || types.isAnyArrayBuffer(chunk))
    return (chunk as ArrayBufferView).byteLength;
  return 0;
}
