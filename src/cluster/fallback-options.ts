/** What a caller is given when a call failed for good: the option `fallback`. */
import type { BalancerError } from "../core/errors.ts";
import { OptionReader, show } from "../core/option-reader.ts";

/** A response that stands in for the service's. */
export interface FallbackResponse {
  /** From 200 to 599. Default 200. */
  readonly status?: number | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Not handed over where HTTP has none: in answer to HEAD, and with the statuses 204, 205 and 304. */
  readonly body?: string | Uint8Array | undefined;
}

/** The call that failed. */
export interface FailedCall {
  readonly service: string;
  readonly method: string;
  readonly path: string;
  readonly error: BalancerError;
}

/** A response, or what makes one; undefined leaves it at the error. */
export type Fallback =
  | FallbackResponse
  | ((call: FailedCall) => FallbackResponse | undefined | Promise<FallbackResponse | undefined>);

/** @throws TypeError or RangeError that names the option and the value it got. */
export function resolveFallback(given: unknown): Fallback | undefined {
  if (given === undefined) return undefined;
  return typeof given === "function" ? (given as Fallback) : checkFallback(given);
}

/** @throws TypeError or RangeError for what cannot be a response. */
export function checkFallback(given: unknown): Required<FallbackResponse> {
  const options = new OptionReader(given, "fallback");
  const status = options.number("status", { default: 200, min: 200, max: 599, integer: true });
  const headers = checkHeaders(options.value("headers") ?? {});
  const body = options.value("body") ?? "";
  options.end();
  if (typeof body !== "string" && !(body instanceof Uint8Array)) {
    throw new TypeError(`fallback.body must be a string or bytes, got ${show(body)}`);
  }
  return { status, headers, body };
}

/** RFC 9110, 5.1 and 5.5: what could end a header, and begin another one, is in neither. */
const headerName = /^[\w!#$%&'*+.^`|~-]+$/;
const headerValue = /^[\t\x20-\x7e\x80-\xff]*$/;

function checkHeaders(given: unknown): Readonly<Record<string, string>> {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new TypeError(`fallback.headers must be an object, got ${show(given)}`);
  }
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(given)) {
    if (!headerName.test(name)) {
      throw new TypeError(`fallback.headers must be named as headers are, got ${show(name)}`);
    }
    if (typeof value !== "string" || !headerValue.test(value)) {
      throw new TypeError(
        `fallback.headers.${name} must be a string of one line in Latin-1, got ${show(value)}`,
      );
    }
    headers[name.toLowerCase()] = value;
  }
  return headers;
}
