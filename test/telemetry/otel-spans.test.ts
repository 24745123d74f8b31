/** OpenTelemetry's trace SDK is given a span for each attempt, with the parent that the caller's code had. */
import { context, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { suppressTracing } from "@opentelemetry/core";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import { fetch as undiciFetch } from "undici";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Cluster } from "../../src/index.ts";
import { otel, type Stop } from "../../src/telemetry/otel.ts";
import { startBalancer } from "../http/support/balancers.ts";
import { refusingAddress, startServer, type TestServer } from "../http/support/server.ts";
import { listenedChannels } from "./support/channels.ts";
import { TracesSdk } from "./support/otel-sdk.ts";

let sdk: TracesSdk;
let stop: Stop;
beforeEach(() => {
  sdk = new TracesSdk();
  stop = otel({ tracerProvider: sdk.provider, metrics: false });
});
afterEach(async () => {
  stop();
  await sdk[Symbol.asyncDispose]();
});

/** Runs as a program's own span would. */
async function inSpan<T>(run: () => Promise<T>): Promise<{ readonly result: T; readonly span: string }> {
  return await sdk.provider.getTracer("test").startActiveSpan("work", async (span) => {
    const result = await run();
    span.end();
    return { result, span: span.spanContext().spanId };
  });
}

function clientSpans(): readonly ReadableSpan[] {
  return sdk.spans.filter(({ kind }) => kind === SpanKind.CLIENT);
}

function traceparents(...servers: readonly TestServer[]): readonly unknown[] {
  return servers.flatMap(({ arrivals }) => arrivals.map(({ headers }) => headers.traceparent));
}

function traceparentOf(span: ReadableSpan | undefined): string {
  const { traceId, spanId } = span?.spanContext() ?? {};
  return `00-${traceId}-${spanId}-01`;
}

const unavailable = async (): Promise<TestServer> =>
  await startServer((_, response) => {
    response.statusCode = 503;
    response.end();
  });

describe("otel spans", () => {
  it("name an attempt as the HTTP conventions do", async () => {
    await using server = await startServer();
    await using orders = startBalancer([server]);
    await (await orders.request({ path: "/v1/orders/42?token=secret", method: "GET" })).body.text();
    const [span] = clientSpans();
    expect(clientSpans()).toHaveLength(1);
    expect(span?.name).toBe("GET");
    expect(span?.attributes).toEqual({
      "http.request.method": "GET",
      "http.response.status_code": 200,
      "server.address": "orders",
      "server.port": 80,
      "network.peer.address": "127.0.0.1",
      "network.peer.port": server.port,
      "url.full": "http://orders/v1/orders/42",
      "evenkeel.service": "orders",
      "evenkeel.node": server.address,
      "evenkeel.attempt": 1,
      "evenkeel.outcome": "success",
      "evenkeel.reason": "ok",
    });
    expect(span?.status).toEqual({ code: SpanStatusCode.UNSET });
    expect(span?.parentSpanContext).toBeUndefined();
  });

  it("are one for each attempt, all under the span that was active where the call began", async () => {
    await using broken = await unavailable();
    await using server = await startServer();
    await using orders = startBalancer([broken, server], { retry: { backoffMs: 5 } });
    const { result, span } = await inSpan(async () => (await orders.fetch("/")).text());
    expect(result).toBe("ok");
    const [first, second] = clientSpans();
    expect(clientSpans()).toHaveLength(2);
    expect(clientSpans().map(({ parentSpanContext }) => parentSpanContext?.spanId)).toEqual([span, span]);
    expect(first?.attributes).toMatchObject({
      "evenkeel.node": broken.address,
      "evenkeel.attempt": 1,
      "evenkeel.reason": "status",
      "http.response.status_code": 503,
      "error.type": "503",
    });
    expect(first?.attributes).not.toHaveProperty("http.request.resend_count");
    expect(first?.status).toEqual({ code: SpanStatusCode.ERROR });
    expect(second?.attributes).toMatchObject({
      "evenkeel.node": server.address,
      "evenkeel.attempt": 2,
      "http.request.resend_count": 1,
      "http.response.status_code": 200,
    });
    // Each node was told its own attempt's context.
    expect(traceparents(broken, server)).toEqual([traceparentOf(first), traceparentOf(second)]);
    expect(traceparentOf(first)).not.toBe(traceparentOf(second));
  });

  it("say why an attempt got no answer", async () => {
    const refusing = await refusingAddress();
    await using orders = startBalancer([refusing], { retry: false });
    await expect(orders.fetch("/")).rejects.toThrow();
    expect(clientSpans()[0]?.attributes).toMatchObject({
      "error.type": "refused",
      "evenkeel.reason": "refused",
    });
    expect(clientSpans()[0]?.status).toEqual({ code: SpanStatusCode.ERROR, message: "ECONNREFUSED" });
  });

  it("have their parent also when the call had to wait for discovery", async () => {
    await using server = await startServer();
    const { promise, resolve } = Promise.withResolvers<void>();
    await using orders = startBalancer([], {
      discovery: {
        async *watch() {
          await promise;
          yield [{ address: server.address }];
        },
      },
    });
    const call = inSpan(async () => (await orders.fetch("/")).text());
    resolve();
    const { span } = await call;
    expect(clientSpans().map(({ parentSpanContext }) => parentSpanContext?.spanId)).toEqual([span]);
  });

  it("of calls side by side keep apart", async () => {
    await using broken = await unavailable();
    await using server = await startServer();
    await using orders = startBalancer([broken, server], { health: { ejection: false } });
    const calls = await Promise.all(
      Array.from({ length: 10 }, () => inSpan(async () => (await orders.fetch("/")).text())),
    );
    for (const { span } of calls) {
      const own = clientSpans().filter(({ parentSpanContext }) => parentSpanContext?.spanId === span);
      expect(own.map(({ attributes }) => attributes["evenkeel.attempt"])).toEqual([1, 2]);
    }
  });

  it.each<[string, () => unknown]>([
    ["an object", () => ({ TraceParent: "00-of-the-caller", "x-own": "1" })],
    ["a flat array", () => ["traceparent", "00-of-the-caller", "x-own", "1"]],
    ["an iterable", () => new Map(Object.entries({ traceparent: "00-of-the-caller", "x-own": "1" }))],
    [
      "a generator",
      function* () {
        yield ["x-own", "1"];
      },
    ],
  ])("put their context beside the call's own headers, given as %s", async (_, headers) => {
    await using broken = await unavailable();
    await using server = await startServer();
    await using orders = startBalancer([broken, server]);
    await (await orders.request({ path: "/", method: "GET", headers: headers() as never })).body.text();
    expect(traceparents(broken, server)).toEqual(clientSpans().map(traceparentOf));
    for (const { headers: arrived } of [...broken.arrivals, ...server.arrivals]) {
      expect(arrived["x-own"]).toBe("1");
    }
  });

  it("go with headers that are null", async () => {
    await using server = await startServer();
    await using orders = startBalancer([server]);
    await (await orders.request({ path: "/", method: "GET", headers: null as never })).body.text();
    expect(traceparents(server)).toEqual(clientSpans().map(traceparentOf));
  });

  it("give a function their context as headers", async () => {
    await using server = await startServer();
    await using orders = new Cluster({ name: "orders", discovery: [server.address] });
    const answer = await orders.call(({ node, headers }) => undiciFetch(node.url("/"), { headers }), {
      method: "GET",
    });
    await answer.text();
    expect(traceparents(server)).toEqual([traceparentOf(clientSpans()[0])]);
    expect(clientSpans()[0]?.attributes["http.response.status_code"]).toBe(200);
  });

  it("are not made where tracing is suppressed, as exporters' own calls are", async () => {
    await using server = await startServer();
    await using orders = startBalancer([server]);
    await context.with(suppressTracing(context.active()), async () => (await orders.fetch("/")).text());
    expect(clientSpans()).toEqual([]);
    expect(traceparents(server)).toEqual([undefined]);
  });

  it("end with what otel() returned: nobody listens, nothing is sent along", async () => {
    await using server = await startServer();
    await using orders = startBalancer([server]);
    expect(listenedChannels()).toEqual(["call:start", "attempt:start", "attempt:end", "collect"]);
    stop();
    expect(listenedChannels()).toEqual(["collect"]);
    await (await orders.fetch("/")).text();
    expect(sdk.spans).toEqual([]);
    expect(traceparents(server)).toEqual([undefined]);
  });

  it("take the provider that is registered, where none is handed in", async () => {
    stop();
    trace.setGlobalTracerProvider(sdk.provider);
    using _ = otel({ metrics: false });
    await using server = await startServer();
    await using orders = startBalancer([server]);
    await (await orders.fetch("/")).text();
    trace.disable();
    expect(clientSpans()).toHaveLength(1);
  });
});

describe("otel()", () => {
  it.each<[object, string]>([
    [{ meterProvider: {} }, "otel.meterProvider must have a method getMeter()"],
    [{ metrics: 1 }, "otel.metrics must be true or false, got 1"],
    [{ span: true }, 'unknown option otel.span (true); did you mean "spans"?'],
  ])("refuses %j and listens to nothing", (options, message) => {
    stop();
    expect(() => otel(options)).toThrow(message);
    expect(listenedChannels()).toEqual([]);
  });
});
