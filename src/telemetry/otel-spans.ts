/**
 * A client span for each attempt, by OpenTelemetry's HTTP conventions, and its context in the attempt's headers.
 *
 * The parent of all attempts of a call is what was active where the call began: a retry starts from a timer, where
 * nothing is.
 */
import type { Attributes, Context, Span, Tracer } from "@opentelemetry/api";
import type { AttemptEndEvent, AttemptStartEvent, CallStartEvent } from "../core/events.ts";
import { attemptEnds, attemptStarts, callStarts } from "../core/events.ts";
import { listen } from "./feed.ts";
import {
  createPeers,
  errorTypeOf,
  Memo,
  methodOf,
  type Origin,
  originOf,
  otherMethod,
  schemeOf,
} from "./http-attributes.ts";

/** What is used of `@opentelemetry/api`. */
export type SpanApi = Pick<
  typeof import("@opentelemetry/api"),
  "context" | "propagation" | "trace" | "SpanKind" | "SpanStatusCode"
>;

interface CallTrace {
  readonly parent: Context;
  /** Spans under way, by the number of their attempt. */
  readonly spans: Map<number, Span>;
}

const headerSetter = {
  set: (event: AttemptStartEvent, name: string, value: string) => event.addHeader(name, value),
};

/** Traces from now on. Spans of attempts that are under way when it ends are not exported. @returns what ends it. */
export function startSpans(
  api: SpanApi,
  tracer: Tracer,
  services: ReadonlySet<string> | undefined,
): (() => void)[] {
  const traces = new WeakMap<object, CallTrace>();
  const peers = createPeers();
  const origins = {
    http: new Memo((service) => originOf(service, "http")),
    https: new Memo((service) => originOf(service, "https")),
  };

  const traceOf = (call: object): CallTrace => {
    let found = traces.get(call);
    if (found === undefined) {
      found = { parent: api.context.active(), spans: new Map() };
      traces.set(call, found);
    }
    return found;
  };

  const callStarted = (event: CallStartEvent) => {
    if (services?.has(event.service) !== false) traceOf(event.call);
  };

  const attemptStarted = (event: AttemptStartEvent) => {
    if (services?.has(event.service) === false) return;
    const { parent, spans } = traceOf(event.call);
    const method = methodOf(event.method);
    const attributes = startAttributes(event, method, origins[schemeOf(event.address)].get(event.service));
    const peer = peers.get(event.address);
    if (peer.scheme === "unix") {
      attributes["network.peer.address"] = peer.socketPath;
    } else {
      attributes["network.peer.address"] = peer.hostname;
      attributes["network.peer.port"] = peer.port;
    }
    const name = method === otherMethod ? "HTTP" : method;
    const span = tracer.startSpan(name, { kind: api.SpanKind.CLIENT, attributes }, parent);
    spans.set(event.attempt, span);
    api.propagation.inject(api.trace.setSpan(parent, span), event, headerSetter);
  };

  const attemptEnded = (event: AttemptEndEvent) => {
    const spans = traces.get(event.call)?.spans;
    const span = spans?.get(event.attempt);
    if (span === undefined) return;
    spans?.delete(event.attempt);
    if (span.isRecording()) describeEnd(api, span, event);
    span.end();
  };

  return [
    listen(callStarts, callStarted),
    listen(attemptStarts, attemptStarted),
    listen(attemptEnds, attemptEnded),
  ];
}

function startAttributes(event: AttemptStartEvent, method: string, origin: Origin): Attributes {
  const attributes: Attributes = {
    "http.request.method": method,
    "server.address": origin.host,
    "server.port": origin.port,
    "url.full": origin.text + pathOf(event.path),
    "evenkeel.service": event.service,
    "evenkeel.node": event.address,
    "evenkeel.attempt": event.attempt,
  };
  if (method === otherMethod) attributes["http.request.method_original"] = event.method.slice(0, 64);
  if (event.attempt > 1) attributes["http.request.resend_count"] = event.attempt - 1;
  return attributes;
}

/** Without the query, which may hold what does not belong into a trace. */
function pathOf(path: string): string {
  if (!path.startsWith("/")) return "/";
  const end = path.indexOf("?");
  return end < 0 ? path : path.slice(0, end);
}

function describeEnd(api: SpanApi, span: Span, event: AttemptEndEvent): void {
  const { outcome, reason, detail, statusCode } = event;
  span.setAttribute("evenkeel.outcome", outcome);
  span.setAttribute("evenkeel.reason", reason);
  if (statusCode !== undefined) span.setAttribute("http.response.status_code", statusCode);
  const errorType = errorTypeOf(event);
  if (errorType === undefined) return;
  span.setAttribute("error.type", errorType);
  // A status needs no further words.
  const isStatus = errorType === String(statusCode);
  span.setStatus(
    isStatus ? { code: api.SpanStatusCode.ERROR } : { code: api.SpanStatusCode.ERROR, message: detail },
  );
}
