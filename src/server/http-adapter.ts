/**
 * A protected HTTP server: one request between Node.js and its handler.
 *
 * It knows requests and answers by what it uses of them, which is what `node:http`, `node:http2`, Express and Fastify have
 * in common.
 */
import { priorityHeader, retryHeader } from "../core/layers.ts";
import { loadReportHeader } from "../core/load-report.ts";
import { runInContext } from "../resilience/call-context.ts";
import { parseDeadlineHeader } from "../resilience/deadline-header.ts";
import type { RefusalReason } from "./guard.ts";
import { healthAnswer } from "./health-endpoints.ts";
import { mute } from "./mute.ts";
import { type ProtectionCore, priorityOf } from "./protection-core.ts";
import { ServedCall } from "./served-call.ts";

/** What carries one call or more, and tells when it carries none any more. */
interface Connection {
  readonly destroyed?: boolean;
  once?(event: "close", listener: () => void): unknown;
}

export interface HttpRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly socket?: Connection;
  /** Over HTTP/2. Its session is gone when it has ended. */
  readonly stream?: Connection & { readonly session?: object | undefined };
  emit(event: never, ...values: never[]): boolean;
}

export interface HttpResponse {
  readonly headersSent: boolean;
  readonly writableEnded: boolean;
  readonly destroyed?: boolean;
  readonly statusCode: number;
  statusMessage?: string;
  hasHeader(name: string): boolean;
  getHeaderNames(): readonly string[];
  removeHeader(name: string): unknown;
  setHeader(name: string, value: string): unknown;
  writeHead(status: number, ...rest: never[]): unknown;
  end(text: string): unknown;
  once(event: "finish" | "close", listener: () => void): unknown;
}

/** As retrying at another instance need not wait, this is for those who have none. */
const retryAfterSeconds = "1";

const refusals: Readonly<Record<RefusalReason, readonly [status: number, text: string]>> = {
  deadline: [504, "The deadline of the call had passed before it came in.\n"],
  "event loop": [503, "Overloaded: this turn of the event loop is full.\n"],
  concurrency: [503, "Overloaded: too many calls are in flight.\n"],
};

/**
 * Answers what asks for health, refuses what cannot be served, and does the work for the rest.
 *
 * @returns what `work` returns, undefined where it was not called. What it throws is the program's.
 */
export function serve<Result>(
  core: ProtectionCore,
  request: HttpRequest,
  response: HttpResponse,
  work: () => Result,
): Result | undefined {
  const { method = "GET", url = "/", headers } = request;
  const { health, deadlineHeader } = core.options;
  const asked = healthAnswer(health, method, url, core.drainSignal.aborted);
  if (asked !== undefined) {
    response.setHeader("cache-control", "no-store");
    answer(response, asked.status, asked.text);
    return undefined;
  }
  // It has ended already, and would never tell.
  if (response.destroyed === true || (request.stream ?? request.socket)?.destroyed === true) return work();
  const now = core.clock.now();
  const arrival = {
    priority: priorityOf(headers[priorityHeader]),
    endsAt: now + (parseDeadline(deadlineHeader, headers[deadlineHeader]) ?? Number.POSITIVE_INFINITY),
    isCounted: !isEventStream(headers.accept) && !core.isExempt(method, url),
    // Over HTTP/2, what stands for the socket is another one for each request.
    isFresh: core.isFresh(request.stream === undefined ? request.socket : request.stream.session),
  };
  const refusal = core.admit(arrival, { method, path: url }, now);
  if (refusal !== undefined) {
    const [status, text] = refusals[refusal];
    if (status === 503) response.setHeader("retry-after", retryAfterSeconds);
    answer(response, status, text);
    return undefined;
  }
  const call = new ServedCall(core, arrival, now, () => {
    if (response.headersSent) return;
    clear(request, response);
    answer(response, 504, "The deadline of the call has passed.\n");
    mute(response, request.stream ?? request.socket);
  });
  watch(core, call, request, response);
  keepContext(call, request);
  return runInContext(call.context, work);
}

/** What headers tell of one answer alone: its form, its length, how long it holds, what it does to the caller. */
const ofOneAnswer =
  /^(content-(?!security-policy)|(transfer-encoding|trailer|etag|last-modified|cache-control|expires|age|accept-ranges|set-cookie|location|link)$)/;

/** The handler's answer is not given. What middleware says of every answer stays: CORS, ids, who may embed it. */
function clear(request: HttpRequest, response: HttpResponse): void {
  for (const name of response.getHeaderNames()) if (ofOneAnswer.test(name)) response.removeHeader(name);
  // HTTP/2 has none, and Node.js warns.
  if (request.stream === undefined) response.statusMessage = "";
}

function answer(response: HttpResponse, status: number, text: string): void {
  response.setHeader("content-type", "text/plain; charset=utf-8");
  // Where a handler's has been removed, Node.js adds none.
  response.setHeader("content-length", String(Buffer.byteLength(text)));
  response.writeHead(status);
  response.end(text);
}

/** Adds the headers when it is known what the answer is, and hears how it ends. */
function watch(core: ProtectionCore, call: ServedCall, request: HttpRequest, response: HttpResponse): void {
  let status = 0;
  const writeHead = response.writeHead as (...values: readonly unknown[]) => unknown;
  const prepared = (given: number, ...rest: readonly unknown[]): unknown => {
    // 1xx, or a second time, which is for Node.js to refuse.
    if (given >= 200 && !response.headersSent) {
      status = given;
      call.answered();
      const report = core.loadHeader(call);
      if (report !== undefined) setUnlessSet(response, loadReportHeader, report);
      if (given >= 500 && call.context.failedBelow) setUnlessSet(response, retryHeader, "no");
    }
    return writeHead.call(response, given, ...rest);
  };
  response.writeHead = prepared as HttpResponse["writeHead"];
  const siblings = request.stream === undefined ? callsOver(request.socket) : undefined;
  siblings?.add(call);
  const gone = (): void => {
    siblings?.delete(call);
    call.gone();
  };
  // What comes later comes to nothing. Over HTTP/2 all of it comes when a caller has gone, one after the other.
  response.once("finish", () => {
    if (response.writableEnded) call.ended(status >= 500);
    gone();
  });
  response.once("close", gone);
  // An answer to HEAD that has not been ended does not tell that its stream has.
  request.stream?.once?.("close", gone);
}

/** The calls of each HTTP/1 connection that have not ended. */
const callsOfConnections: WeakMap<Connection, Set<ServedCall>> = new WeakMap();

/**
 * The calls that end with the connection, at the latest.
 *
 * A client may send them without waiting for answers. An answer that waits for an earlier one has no socket, and Node.js
 * before 24 forgets it with the connection: it never ends. The connection is listened to once, however many it carries.
 */
function callsOver(connection: Connection | undefined): Set<ServedCall> | undefined {
  if (connection?.once === undefined) return undefined;
  const known = callsOfConnections.get(connection);
  if (known !== undefined) return known;
  const calls = new Set<ServedCall>();
  callsOfConnections.set(connection, calls);
  connection.once("close", () => {
    for (const call of calls) call.gone();
    calls.clear();
  });
  return calls;
}

function setUnlessSet(response: HttpResponse, name: string, value: string): void {
  if (!response.hasHeader(name)) response.setHeader(name, value);
}

/** A listener for the request's body would run in the connection's context: that of its first request, or of none. */
function keepContext(call: ServedCall, request: HttpRequest): void {
  const emit = request.emit as (...values: readonly unknown[]) => boolean;
  request.emit = ((...values: readonly unknown[]) =>
    runInContext(call.context, () => emit.apply(request, values as unknown[]))) as HttpRequest["emit"];
}

function parseDeadline(name: string, value: string | readonly string[] | undefined): number | undefined {
  return typeof value === "string" ? parseDeadlineHeader(name, value) : undefined;
}

/** It lasts as long as its reader likes: neither the limit nor its latency has to do with load. */
function isEventStream(accept: string | readonly string[] | undefined): boolean {
  return typeof accept === "string" && accept.startsWith("text/event-stream");
}
