/** What a protected HTTP server does for its handlers and to its callers, whatever it is made with. */
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { Balancer } from "../../src/index.ts";
import { currentContext, remainingMs } from "../../src/resilience/call-context.ts";
import { callSignal, type ProtectOptions, protect } from "../../src/server/index.ts";
import { until } from "../support/until.ts";
import { type Handler, kinds } from "./support/protocol-servers.ts";

describe.each(kinds)("$name", (kind) => {
  /** A protected server and a client that tries nothing twice. */
  async function serving(options: ProtectOptions, handler: Handler) {
    const protection = protect({ deadlineHeader: "x-timeout-ms", ...options });
    const server = await kind.start(protection, handler);
    const client = new Balancer({
      name: "orders",
      discovery: [server.address],
      connections: kind.connections,
      retry: false,
      health: { ejection: false },
    });
    const get = async (path: string, headers: Record<string, string> = {}, signal?: AbortSignal) => {
      const answer = await client.request({ path, method: "GET", headers, signal: signal ?? null });
      return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() };
    };
    return {
      protection,
      client,
      get,
      async [Symbol.asyncDispose]() {
        await client.destroy();
        await server[Symbol.asyncDispose]();
      },
    };
  }

  test("a handler has what is left of its caller's time, also where its body is read by events", async () => {
    await using served = await serving({}, (incoming, response) => {
      incoming.on("data", () => {});
      incoming.on("end", () => response.end(JSON.stringify({ left: remainingMs() })));
    });
    // In pieces that come later, each from the connection and not from the call.
    async function* pieces() {
      yield "one";
      await sleep(20);
      yield "two";
      await sleep(20);
    }
    const leftOf = async (headers: Record<string, string>): Promise<number | null> => {
      const body = Readable.from(pieces());
      const answer = await served.client.request({ path: "/", method: "POST", headers, body });
      return ((await answer.body.json()) as { left: number | null }).left;
    };
    const left = await leftOf({ "x-timeout-ms": "5000" });
    expect(left).toBeGreaterThan(1_000);
    expect(left).toBeLessThan(5_000);
    // JSON has no Infinity.
    expect(await leftOf({})).toBeNull();
    expect(await leftOf({ "x-timeout-ms": "soon" })).toBeNull();
  });

  test("a call whose time was over when it came in is refused, and its work never starts", async () => {
    let started = 0;
    await using served = await serving({}, (_, response) => {
      started++;
      response.end("done");
    });
    expect(await served.get("/", { "x-timeout-ms": "0" })).toMatchObject({ status: 504 });
    expect(started).toBe(0);
    expect(served.protection.status).toMatchObject({ inflight: 0, refused: { deadline: 1 } });
    expect(await served.get("/")).toMatchObject({ status: 200, text: "done" });
  });

  test("work is told when the time is over, answered for, and may come late without harm", async () => {
    const reasons: string[] = [];
    const late = Promise.withResolvers<void>();
    await using served = await serving({}, async (_, response) => {
      const signal = callSignal() as AbortSignal;
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      reasons.push(signal.reason.name);
      setTimeout(() => {
        response.setHeader("x-late", "1");
        response.writeHead(200);
        response.write("late");
        response.end("later", () => late.resolve());
      }, 20);
    });
    const answer = await served.get("/", { "x-timeout-ms": "50" });
    expect(answer).toMatchObject({ status: 504, text: expect.stringMatching(/deadline/) });
    await late.promise;
    expect(reasons).toEqual(["TimeoutError"]);
    await until("the call has ended", () => served.protection.status.inflight === 0, 2_000);
  });

  test("a deadline that is farther away than a timer of Node.js reaches ends nothing", async () => {
    await using served = await serving({}, async (_, response) => {
      // A timer that is too long fires after 1 ms.
      await sleep(20);
      response.end(`aborted: ${callSignal()?.aborted}, left: ${Math.round(remainingMs() / 1e9)}`);
    });
    expect(await served.get("/", { "x-timeout-ms": "9999999999" })).toMatchObject({
      status: 200,
      text: "aborted: false, left: 10",
    });
  });

  test("the answer at the deadline has nothing of the one that was being prepared", async () => {
    const prepared = {
      "content-length": "1000",
      "content-encoding": "gzip",
      etag: '"1"',
      "set-cookie": "session=1",
      "cache-control": "max-age=3600",
      trailer: "x-checksum",
      // Of every answer.
      "access-control-allow-origin": "*",
    };
    await using served = await serving({}, (_, response) => {
      for (const [name, value] of Object.entries(prepared)) response.setHeader(name, value);
    });
    for (const _ of [1, 2]) {
      const { status, headers, text } = await served.get("/", { "x-timeout-ms": "50" });
      expect({ status, text }).toEqual({ status: 504, text: "The deadline of the call has passed.\n" });
      const left = Object.keys(prepared).filter((name) => name in headers);
      expect(left).toEqual(["content-length", "access-control-allow-origin"]);
      expect(headers).toMatchObject({ "content-length": "37", date: expect.any(String) });
    }
  });

  test("work is told when its caller has gone", async () => {
    const reasons: string[] = [];
    await using served = await serving({}, (_, response) => {
      const signal = callSignal();
      signal?.addEventListener("abort", () => {
        reasons.push((signal.reason as Error).name);
        response.end();
      });
    });
    const controller = new AbortController();
    const call = served.get("/", {}, controller.signal).catch((error: Error) => error.name);
    await until("the call has come in", () => served.protection.status.inflight === 1, 5_000);
    controller.abort();
    await call;
    await until("the work was told", () => reasons.length === 1, 5_000);
    expect(reasons).toEqual(["AbortError"]);
    expect(served.protection.status.inflight).toBe(0);
  });

  test("an answer that ended as it should tells no work to stop", async () => {
    const signals: (AbortSignal | undefined)[] = [];
    await using served = await serving({}, (_, response) => {
      signals.push(callSignal());
      response.end("done");
    });
    await served.get("/", { "x-timeout-ms": "60000" });
    await until("the call has ended", () => served.protection.status.inflight === 0, 2_000);
    expect(signals.map((signal) => signal?.aborted)).toEqual([false]);
  });

  test("calls above the limit are shed, the sheddable first and the critical last", async () => {
    const held: (() => void)[] = [];
    let started = 0;
    await using served = await serving({ limits: { inflight: 10, adaptive: false } }, (_, response) => {
      started++;
      held.push(() => response.end("done"));
    });
    const call = (priority: string) => served.get("/", { "evenkeel-priority": priority });
    const calls: Promise<{ status: number }>[] = [];
    const fill = async (priority: string, most: number): Promise<void> => {
      for (let sent = 0; sent < 3; sent++) {
        while (started < most) {
          const before = started;
          calls.push(call(priority));
          await until("it is in", () => started > before, 5_000);
        }
        const { status, headers, text } = await call(priority);
        expect({ status, retryAfter: headers["retry-after"], text }).toEqual({
          status: 503,
          retryAfter: "1",
          text: expect.stringMatching(/in flight/),
        });
      }
    };
    calls.push(call("critical"));
    await until("the first is in", () => started === 1, 5_000);
    await fill("sheddable", 7);
    await fill("default", 9);
    await fill("critical", 10);
    expect(started).toBe(10);
    // What asks for health is answered whatever the load.
    expect(await served.get("/readyz")).toMatchObject({ status: 200 });
    for (const end of held) end();
    for (const answer of await Promise.all(calls)) expect(answer.status).toBe(200);
    await until("all have ended", () => served.protection.status.inflight === 0, 2_000);
    expect(served.protection.status).toMatchObject({ limit: 10, refused: { concurrency: 9 } });
  });

  test("readiness ends with the drain, life does not, and calls are served on", async () => {
    await using served = await serving({}, (_, response) => response.end("done"));
    const statuses = async () => {
      const answers = await Promise.all(
        ["/livez", "/readyz?verbose", "/work"].map((path) => served.get(path)),
      );
      return answers.map(({ status }) => status);
    };
    expect(await statuses()).toEqual([200, 200, 200]);
    served.protection.drain();
    expect(await statuses()).toEqual([200, 503, 200]);
    expect((await served.get("/readyz")).headers["cache-control"]).toBe("no-store");
  });

  test("an answer tells the load, by which the caller's leastCost judges", async () => {
    const held: (() => void)[] = [];
    await using served = await serving({}, (incoming, response) => {
      if (incoming.url === "/held") held.push(() => response.end());
      else response.end("done");
    });
    const calls = Array.from({ length: 5 }, () => served.get("/held"));
    await until("five are held", () => held.length === 5, 5_000);
    const { headers } = await served.get("/");
    expect(headers["endpoint-load-metrics"]).toBe("TEXT named_metrics.inflight=5");
    const [node] = served.client.explain().nodes;
    expect(node?.cost.reportedInflight).toBeGreaterThan(4);
    for (const end of held) end();
    await Promise.all(calls);
  });

  test("a failing answer tells its caller not to try again, if what failed lies below", async () => {
    await using served = await serving({}, (incoming, response) => {
      currentContext()?.noteFailureBelow();
      response.statusCode = Number(incoming.url?.slice(1));
      response.end();
    });
    const hints: unknown[] = [];
    for (const status of [200, 404, 502])
      hints.push((await served.get(`/${status}`)).headers["evenkeel-retry"]);
    expect(hints).toEqual([undefined, undefined, "no"]);
  });

  test("event streams and what is exempt are not counted, and not shed", async () => {
    await using served = await serving(
      { limits: { inflight: 1, adaptive: false }, exempt: ({ path }) => path === "/poll" },
      (incoming, response) => {
        response.write(`${served.protection.status.inflight} in flight\n`);
        if (incoming.url !== "/held") response.end();
        else setTimeout(() => response.end(), 200);
      },
    );
    const held = served.get("/held");
    await until("one is held", () => served.protection.status.inflight === 1, 5_000);
    expect((await served.get("/")).status).toBe(503);
    expect((await served.get("/poll")).text).toBe("1 in flight\n");
    expect((await served.get("/", { accept: "text/event-stream" })).text).toBe("1 in flight\n");
    await held;
  });

  test("what the program answers with an error of its own is left as it is", async () => {
    await using served = await serving({ loadReports: false }, (_, response) => {
      response.statusCode = 500;
      response.setHeader("x-own", "1");
      response.end("broken");
    });
    const { status, headers, text } = await served.get("/");
    expect({ status, own: headers["x-own"], text }).toEqual({ status: 500, own: "1", text: "broken" });
    expect(Object.keys(headers)).not.toContain("endpoint-load-metrics");
    expect(Object.keys(headers)).not.toContain("evenkeel-retry");
  });
});
