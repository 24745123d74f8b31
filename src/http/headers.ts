/** Looks up one request header in any of the forms that undici takes. */
import type { Dispatcher } from "undici";

/** The value of a header by its lower-case name; of several, the first. */
export function findHeader(headers: Dispatcher.DispatchOptions["headers"], name: string): string | undefined {
  if (headers === null || headers === undefined) return undefined;
  if (Array.isArray(headers)) return findInFlatArray(headers, name);
  if (Symbol.iterator in headers) {
    for (const [key, value] of headers as Iterable<[string, unknown]>)
      if (isName(key, name)) return firstOf(value);
    return undefined;
  }
  for (const key of Object.keys(headers)) {
    if (isName(key, name)) return firstOf((headers as Record<string, unknown>)[key]);
  }
  return undefined;
}

function findInFlatArray(headers: readonly unknown[], name: string): string | undefined {
  for (let index = 0; index + 1 < headers.length; index += 2) {
    if (isName(String(headers[index]), name)) return firstOf(headers[index + 1]);
  }
  return undefined;
}

function isName(key: string, name: string): boolean {
  return key.length === name.length && key.toLowerCase() === name;
}

function firstOf(value: unknown): string | undefined {
  const first: unknown = Array.isArray(value) ? value[0] : value;
  return first === undefined ? undefined : String(first);
}
