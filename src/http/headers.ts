/** Request headers in any of the forms that undici takes: looking one up, and reading them more than once. */
import type { Dispatcher } from "undici";

/** The value of a header by its lower-case name; of several, the first. */
export function findHeader(headers: Dispatcher.DispatchOptions["headers"], name: string): string | undefined {
  // What is no header at all is left for undici to say.
  if (typeof headers !== "object" || headers === null) return undefined;
  if (Array.isArray(headers)) return findInFlatArray(headers, name);
  if (Symbol.iterator in headers) {
    for (const entry of headers as Iterable<unknown>) {
      if (Array.isArray(entry) && isName(entry[0], name)) return firstOf(entry[1]);
    }
    return undefined;
  }
  for (const key of Object.keys(headers)) {
    if (isName(key, name)) return firstOf((headers as Record<string, unknown>)[key]);
  }
  return undefined;
}

function findInFlatArray(headers: readonly unknown[], name: string): string | undefined {
  for (let index = 0; index + 1 < headers.length; index += 2) {
    if (isName(headers[index], name)) return firstOf(headers[index + 1]);
  }
  return undefined;
}

function isName(key: unknown, name: string): boolean {
  return typeof key === "string" && key.length === name.length && key.toLowerCase() === name;
}

function firstOf(value: unknown): string | undefined {
  const first: unknown = Array.isArray(value) ? value[0] : value;
  return first === undefined ? undefined : String(first);
}

/** Headers that come as a generator can be read only once, but are, for each attempt and for looking one up. */
export function withLastingHeaders(options: Dispatcher.DispatchOptions): Dispatcher.DispatchOptions {
  const { headers } = options;
  if (typeof headers !== "object" || headers === null || Array.isArray(headers)) return options;
  const iterate = (headers as Partial<Iterable<unknown>>)[Symbol.iterator];
  if (typeof iterate !== "function") return options;
  const iterator: unknown = iterate.call(headers);
  if (iterator !== headers) return options;
  // Not an array, in which undici expects names and values to take turns.
  const lasting = new Set(headers as Iterable<[string, string]>);
  return { ...options, headers: lasting };
}

/**
 * The options with further headers, names and values in turn, each in place of those of the same name. Whatever form
 * the headers had, undici gets an array of names and values; what is none is left for undici to refuse.
 */
export function withAddedHeaders(
  options: Dispatcher.DispatchOptions,
  added: readonly string[],
): Dispatcher.DispatchOptions {
  const { headers } = options;
  if (headers === undefined || headers === null) return { ...options, headers: [...added] };
  if (typeof headers !== "object") return options;
  const names = new Set<string>();
  for (let index = 0; index < added.length; index += 2) names.add((added[index] as string).toLowerCase());
  const merged: unknown[] = [];
  const keep = (name: unknown, value: unknown) => {
    if (typeof name !== "string" || !names.has(name.toLowerCase())) merged.push(name, value);
  };
  if (Array.isArray(headers)) {
    if (headers.length % 2 !== 0) return options;
    for (let index = 0; index < headers.length; index += 2) keep(headers[index], headers[index + 1]);
  } else if (Symbol.iterator in headers) {
    for (const entry of headers as Iterable<unknown>) {
      if (!Array.isArray(entry) || entry.length !== 2) return options;
      keep(entry[0], entry[1]);
    }
  } else {
    for (const name of Object.keys(headers)) keep(name, (headers as Record<string, unknown>)[name]);
  }
  merged.push(...added);
  return { ...options, headers: merged as string[] };
}

/** Headers that belong to one HTTP/1.1 connection, beside those that undici refuses anyway (RFC 9113, section 8.2.2). */
const connectionHeaders: ReadonlySet<string> = new Set(["te", "proxy-connection", "http2-settings"]);

/**
 * The options without headers that HTTP/2 does not allow, as they come along when a call is passed on. Node.js ends the
 * whole session for one of them, and with it the calls of others.
 */
export function withoutConnectionHeaders(options: Dispatcher.DispatchOptions): Dispatcher.DispatchOptions {
  const { headers } = options;
  if (typeof headers !== "object" || headers === null) return options;
  let isClean = true;
  const kept: unknown[] = [];
  const look = (name: unknown, value: unknown) => {
    const lower = typeof name === "string" ? name.toLowerCase() : "";
    if (!connectionHeaders.has(lower) || (lower === "te" && firstOf(value) === "trailers"))
      kept.push(name, value);
    else isClean = false;
  };
  if (Array.isArray(headers)) {
    for (let index = 0; index + 1 < headers.length; index += 2) look(headers[index], headers[index + 1]);
  } else if (Symbol.iterator in headers) {
    for (const entry of headers as Iterable<unknown>) {
      if (!Array.isArray(entry)) return options;
      look(entry[0], entry[1]);
    }
  } else {
    for (const name of Object.keys(headers)) look(name, (headers as Record<string, unknown>)[name]);
  }
  return isClean ? options : { ...options, headers: kept as string[] };
}
