/** A body is read again from its start, whole or not at all, whenever its earlier readers were abandoned. */
import { Readable } from "node:stream";
import fc from "fast-check";
import { FormData } from "undici";
import { describe, expect, it } from "vitest";
import { bodyKind, ReplayBody, ReplayMemory } from "./replay.ts";

const limit = 64 * 1_024;

async function* chunks(...given: readonly string[]): AsyncGenerator<string, void, undefined> {
  yield* given;
}

async function readAll(body: AsyncIterable<unknown>): Promise<string> {
  let text = "";
  for await (const chunk of body) text += String(chunk);
  return text;
}

describe("bodyKind", () => {
  function* generator(): Generator<string> {
    yield "x";
  }
  it.each<[string, unknown, string]>([
    ["null", null, "none"],
    ["undefined", undefined, "none"],
    ["an empty text", "", "none"],
    ["a text", "x", "repeatable"],
    ["a Buffer", Buffer.from("x"), "repeatable"],
    ["a view", new DataView(new ArrayBuffer(1)), "repeatable"],
    ["an ArrayBuffer", new ArrayBuffer(1), "repeatable"],
    ["a Blob", new Blob(["x"]), "repeatable"],
    ["FormData", new FormData(), "repeatable"],
    ["an array", ["x"], "repeatable"],
    ["a Set", new Set(["x"]), "repeatable"],
    ["a generator", generator(), "once"],
    ["an async generator", chunks("x"), "once"],
    ["a Readable", Readable.from(["x"]), "once"],
    ["a web stream", ReadableStream.from(["x"]), "once"],
    // As the package form-data is one.
    ["a stream that calls itself FormData", { pipe() {}, on() {}, [Symbol.toStringTag]: "FormData" }, "once"],
    ["what undici does not take", {}, "repeatable"],
  ])("%s: %#", (_, body, kind) => {
    expect(bodyKind(body)).toBe(kind);
  });
});

describe("ReplayBody", () => {
  it("gives every reader the whole, whatever the earlier ones had read", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ minLength: 1, maxLength: 20 }), { maxLength: 20 }),
        fc.array(fc.nat(25), { maxLength: 4 }),
        async (given, stops) => {
          const body = new ReplayBody(chunks(...given), new ReplayMemory(), true);
          for (const stop of stops) {
            const reader = body.read();
            for (let read = 0; read < stop; read++) await reader.next();
            expect(body.canRepeat).toBe(true);
          }
          expect(await readAll(body.read())).toBe(given.join(""));
        },
      ),
    );
  });

  it("gives an abandoned reader nothing more, also when it waits for the source", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    async function* late(): AsyncGenerator<string> {
      await promise;
      yield "late";
    }
    const body = new ReplayBody(late(), new ReplayMemory(), true);
    // It must not end in good order: what it had given would be taken for the whole.
    const waiting = expect(body.read().next()).rejects.toThrow("abandoned");
    const whole = readAll(body.read());
    resolve();
    await waiting;
    expect(await whole).toBe("late");
  });

  /** Chunks of nearly half the limit each: the third is one too many. */
  const large = ["a", "b", "c", "d"].map((letter) => letter.repeat(30_000));

  it("loses nothing when the limit is passed after a rewind, before the next reader begins", async () => {
    const body = new ReplayBody(chunks(...large), new ReplayMemory(), true);
    const first = body.read();
    await first.next();
    await first.next();
    const third = first.next();
    expect(body.canRepeat).toBe(true);
    body.rewind();
    await expect(third).rejects.toThrow("abandoned");
    expect(await readAll(body.read())).toBe(large.join(""));
    expect(body.canRepeat).toBe(false);
  });

  it("doubles nothing when the limit is passed while the next reader is on its way", async () => {
    const body = new ReplayBody(chunks(...large), new ReplayMemory(), true);
    const first = body.read();
    await first.next();
    await first.next();
    const third = expect(first.next()).rejects.toThrow("abandoned");
    const second = body.read();
    let text = String((await second.next()).value);
    await third;
    for await (const chunk of second) text += String(chunk);
    expect(text).toBe(large.join(""));
  });

  it("gives the last reader the whole, whatever reads of earlier ones are still under way", async () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 30_000 }), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(sizes, fc.array(fc.nat(8), { maxLength: 4 }), async (given, stops) => {
        const texts = given.map((size, index) => String(index).repeat(size));
        const body = new ReplayBody(chunks(...texts), new ReplayMemory(), true);
        for (const stop of stops) {
          const reader = body.read();
          for (let read = 0; read < stop; read++) await reader.next();
          reader.next().catch(() => {});
          if (!body.canRepeat) return;
          body.rewind();
        }
        expect(await readAll(body.read())).toBe(texts.join(""));
      }),
    );
  });

  it.each([
    [limit, true],
    [limit + 1, false],
  ])("of %i bytes read: can repeat %s, and the reader has them all", async (bytes, canRepeat) => {
    const body = new ReplayBody(
      chunks("x".repeat(1_000), "y".repeat(bytes - 1_000)),
      new ReplayMemory(),
      true,
    );
    expect((await readAll(body.read())).length).toBe(bytes);
    expect(body.canRepeat).toBe(canRepeat);
  });

  it("goes on with a reader that began before the limit was passed", async () => {
    const given = Array.from({ length: 100 }, (_, index) => String(index % 10).repeat(1_000));
    const body = new ReplayBody(chunks(...given), new ReplayMemory(), true);
    expect(await readAll(body.read())).toBe(given.join(""));
    expect(body.canRepeat).toBe(false);
  });

  it("without keeping, can be read anew only while nothing was read", async () => {
    const body = new ReplayBody(chunks("a", "b"), new ReplayMemory(), false);
    body.read();
    expect(body.canRepeat).toBe(true);
    expect(await readAll(body.read())).toBe("ab");
    expect(body.canRepeat).toBe(false);
  });

  it("gives the memory back, and what is over the limit of all is not kept", async () => {
    const memory = new ReplayMemory();
    const text = "x".repeat(limit);
    const bodies: ReplayBody[] = [];
    for (let count = 0; count < 1_025; count++) {
      const body = new ReplayBody(chunks(text), memory, true);
      await readAll(body.read());
      bodies.push(body);
    }
    // 1,024 times 64 KiB are the 64 MiB that all may keep.
    expect(bodies.filter(({ canRepeat }) => canRepeat)).toHaveLength(1_024);
    for (const body of bodies) body.dispose();
    const next = new ReplayBody(chunks(text), memory, true);
    await readAll(next.read());
    expect(next.canRepeat).toBe(true);
  });

  it("passes on what the source throws, and remembers it as the caller's", async () => {
    const thrown = new Error("broken");
    async function* broken(): AsyncGenerator<string> {
      yield "a";
      throw thrown;
    }
    const body = new ReplayBody(broken(), new ReplayMemory(), true);
    await expect(readAll(body.read())).rejects.toBe(thrown);
    expect(body.error).toBe(thrown);
    expect(body.canRepeat).toBe(false);
  });

  it("lets go of a source that was not read to its end, and only of such a one", async () => {
    let returned = 0;
    async function* source(): AsyncGenerator<string> {
      try {
        yield "a";
        yield "b";
      } finally {
        returned++;
      }
    }
    const unread = new ReplayBody(source(), new ReplayMemory(), true);
    await unread.read().next();
    unread.dispose();
    unread.dispose();
    await new Promise((resolve) => setImmediate(resolve));
    expect(returned).toBe(1);

    const stream = Readable.from(["a", "b"]);
    new ReplayBody(stream, new ReplayMemory(), true).dispose();
    expect(stream.destroyed).toBe(true);

    let cancelled = false;
    const web = new ReadableStream({
      cancel() {
        cancelled = true;
      },
    });
    new ReplayBody(web, new ReplayMemory(), true).dispose();
    await new Promise((resolve) => setImmediate(resolve));
    expect(cancelled).toBe(true);
  });

  it("bears with a source that throws when it is let go of, at once or later", async () => {
    const closed = new Error("the file is closed already");
    const fails = (): never => {
      throw closed;
    };
    const atOnce = { next: () => ({ value: "a", done: false }), return: fails };
    const later = { next: async () => ({ value: "a", done: false }), return: async () => fails() };
    const bodies = [
      { ...atOnce, [Symbol.iterator]: () => atOnce },
      { ...later, [Symbol.asyncIterator]: () => later },
    ];
    for (const body of bodies) {
      const unread = new ReplayBody(body, new ReplayMemory(), true);
      await unread.read().next();
      unread.dispose();
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
});
