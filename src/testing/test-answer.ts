/** What `respond` returned, checked and made into what undici's handlers take. */
import type { IncomingHttpHeaders } from "node:http";
import { OptionReader, show } from "../core/option-reader.ts";

export interface ReadAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly delayMs: number;
}

/** @throws TypeError or RangeError for what is no answer: a mistake in the test. */
export function readAnswer(given: unknown): ReadAnswer | Error {
  if (given instanceof Error) return given;
  const answer = new OptionReader(given, "answer");
  const status = answer.number("status", { default: 200, min: 200, max: 599, integer: true });
  const delayMs = answer.number("delayMs", { default: 0, min: 0 });
  const headers = readAnswerHeaders(answer.value("headers"));
  const content = answer.value("body");
  answer.end();
  const { body, type } = readAnswerBody(content);
  if (type !== undefined) headers["content-type"] ??= type;
  return { status, headers, body, delayMs };
}

function readAnswerHeaders(given: unknown): IncomingHttpHeaders {
  if (given === undefined) return {};
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new TypeError(`answer.headers must be an object, got ${show(given)}`);
  }
  const headers: IncomingHttpHeaders = {};
  for (const [name, value] of Object.entries(given)) {
    headers[name.toLowerCase()] = Array.isArray(value) ? value.map(String) : String(value);
  }
  return headers;
}

function readAnswerBody(given: unknown): { readonly body: Buffer; readonly type?: string } {
  if (given === undefined) return { body: Buffer.alloc(0) };
  if (typeof given === "string") return { body: Buffer.from(given) };
  if (given instanceof Uint8Array) return { body: Buffer.from(given) };
  const json: unknown = JSON.stringify(given);
  if (typeof json !== "string") throw new TypeError(`answer.body cannot be sent, got ${show(given)}`);
  return { body: Buffer.from(json), type: "application/json" };
}
