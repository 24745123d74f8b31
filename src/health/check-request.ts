/**
 * Checks what a probe is to send, once and up front: a probe that can never be sent would leave its nodes unchecked
 * without a word.
 */
import { validateHeaderName, validateHeaderValue } from "node:http";
import { show } from "../core/option-reader.ts";

/** Headers that frame the message or belong to its connection. They are undici's to set, or it refuses them. */
const framing: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

export function checkPath(path: string | undefined, option: string): string {
  if (path === undefined)
    throw new TypeError(`${option} must be given: what to ask the nodes for, as "/health"`);
  // Visible ASCII, as a request line has it, and no fragment, which stays with the client.
  if (!/^\/[!-~]*$/.test(path) || path.includes("#")) {
    throw new RangeError(
      `${option} must begin with "/" and hold neither spaces nor a fragment, got ${show(path)}`,
    );
  }
  return path;
}

export function checkMethod(method: string, option: string): string {
  // CONNECT opens a tunnel and has no answer to go by.
  if (!/^[A-Z]+$/.test(method) || method === "CONNECT") {
    throw new RangeError(`${option} must be a method in capitals other than CONNECT, got ${show(method)}`);
  }
  return method;
}

export function checkHeaders(given: unknown, option: string): Readonly<Record<string, string>> {
  if (given === undefined) return {};
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new TypeError(`${option} must be an object, got ${show(given)}`);
  }
  const headers = Object.entries(given).map(([name, value]) => [
    name.toLowerCase(),
    checkHeader(name, value, option),
  ]);
  return Object.fromEntries(headers);
}

function checkHeader(name: string, value: unknown, option: string): string {
  if (framing.has(name.toLowerCase())) {
    throw new TypeError(`${option}.${name} must not be given: it belongs to the connection`);
  }
  // The value is not shown: it may be a token.
  if (typeof value !== "string")
    throw new TypeError(`${option}.${name} must be a string, got ${typeof value}`);
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
  } catch (cause) {
    throw new TypeError(`${option}.${name} is no valid header`, { cause });
  }
  return value;
}
