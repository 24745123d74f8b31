/** A request's headers and body in any of the forms that undici takes, as plain text for `respond` and assertions. */
import { types } from "node:util";
import { type Dispatcher, FormData, Response } from "undici";

type Options = Dispatcher.DispatchOptions;

/** By lower-case name. */
export function readHeaders(headers: Options["headers"]): Readonly<Record<string, string>> {
  const read: Record<string, string> = {};
  for (const [name, value] of pairsOf(headers)) {
    const key = String(name).toLowerCase();
    const text = Array.isArray(value) ? value.join(", ") : String(value ?? "");
    read[key] = read[key] === undefined ? text : `${read[key]}, ${text}`;
  }
  return read;
}

function pairsOf(headers: Options["headers"]): Iterable<readonly [unknown, unknown]> {
  if (typeof headers !== "object" || headers === null) return [];
  // Names and values take turns.
  if (Array.isArray(headers)) {
    return Array.from({ length: Math.floor(headers.length / 2) }, (_, index) => {
      return [headers[2 * index], headers[2 * index + 1]] as const;
    });
  }
  if (Symbol.iterator in headers) return headers as Iterable<[unknown, unknown]>;
  return Object.entries(headers);
}

/** Where the options of a call keep the text of its body: what copies the options takes it along. */
const textOf: unique symbol = Symbol("text of the body");

interface Remembering extends Options {
  readonly [textOf]?: { text: string | undefined };
}

/**
 * Options whose body is read once for all attempts. A node must see it before it can refuse the connection, while
 * the real one would refuse first: the call counts as not sent then, and its body as unread.
 */
export function rememberingBody(options: Options): Options {
  return { ...options, [textOf]: { text: undefined } } as Remembering;
}

/** The text of a call's body; a promise if it has to be read first. */
export function bodyText(options: Options): string | Promise<string> {
  const memory = (options as Remembering)[textOf];
  const text = memory?.text ?? textOfBody(options.body);
  if (typeof text === "string" || memory === undefined) return text;
  return text.then((read) => {
    memory.text = read;
    return read;
  });
}

function textOfBody(body: unknown): string | Promise<string> {
  if (body === null || body === undefined) return "";
  if (typeof body === "string") return body;
  if (ArrayBuffer.isView(body)) {
    return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString();
  }
  if (types.isAnyArrayBuffer(body)) return Buffer.from(body).toString();
  if (body instanceof Blob) return body.text();
  const tag = (body as { readonly [Symbol.toStringTag]?: unknown })[Symbol.toStringTag];
  if (tag === "FormData") return new Response(ownForm(body as globalThis.FormData)).text();
  return collect(body as AsyncIterable<unknown> | Iterable<unknown>);
}

/** undici takes only its own form data. */
function ownForm(form: globalThis.FormData): FormData {
  if ((form as unknown) instanceof FormData) return form as unknown as FormData;
  const own = new FormData();
  for (const [name, value] of form) {
    if (typeof value === "string") own.append(name, value);
    else own.append(name, value, value.name);
  }
  return own;
}

async function collect(body: AsyncIterable<unknown> | Iterable<unknown>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) {
    chunks.push(typeof chunk === "string" ? Buffer.from(chunk) : Buffer.from(chunk as Uint8Array));
  }
  return Buffer.concat(chunks).toString();
}
