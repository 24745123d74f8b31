/** What a protected grpc-js server does for its handlers and to its callers. */
import { once } from "node:events";
import { connect, type IncomingHttpHeaders } from "node:http2";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { expect, test } from "vitest";
import { decodeLoadReport } from "../../src/core/orca.ts";
import { currentContext, remainingMs } from "../../src/resilience/call-context.ts";
import { callSignal, type ProtectOptions, protect } from "../../src/server/index.ts";
import { until } from "../support/until.ts";

const text = {
  serialize: (value: string) => Buffer.from(value),
  deserialize: (bytes: Buffer) => String(bytes),
};
const method = (path: string, responseStream = false) => ({
  path,
  requestStream: false,
  responseStream,
  requestSerialize: text.serialize,
  requestDeserialize: text.deserialize,
  responseSerialize: text.serialize,
  responseDeserialize: text.deserialize,
});
const orders = { get: method("/shop.Orders/Get"), watch: method("/shop.Orders/Watch", true) };
const health = { check: method("/grpc.health.v1.Health/Check") };

type Get = grpc.handleUnaryCall<string, string>;
type Watch = grpc.handleServerStreamingCall<string, string>;

interface Answer {
  readonly code: number;
  readonly text: string | undefined;
  readonly details: string;
  readonly trailers: grpc.Metadata;
}

interface Asked {
  readonly priority?: string;
  readonly deadlineMs?: number;
  readonly path?: string;
  readonly started?: (call: grpc.ClientUnaryCall) => void;
}

async function serving(options: ProtectOptions, get: Get, watch: Watch = (call) => call.end()) {
  const protection = protect(options);
  const server = new grpc.Server({ interceptors: [protection.interceptor(grpc)] });
  server.addService(orders, { get, watch });
  server.addService(health, {
    check: (_: unknown, answer: grpc.sendUnaryData<string>) => answer(null, "SERVING"),
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), {
    "grpc.enable_retries": 0,
  });
  const ask = ({ priority, deadlineMs = 20_000, path = orders.get.path, started }: Asked = {}) =>
    new Promise<Answer>((resolve) => {
      const metadata = new grpc.Metadata();
      if (priority !== undefined) metadata.set("evenkeel-priority", priority);
      const options = { deadline: Date.now() + deadlineMs };
      const { serialize, deserialize } = text;
      let answered: string | undefined;
      const call = client.makeUnaryRequest(
        path,
        serialize,
        deserialize,
        "x",
        metadata,
        options,
        (_, value) => {
          answered = value;
        },
      );
      call.on("status", ({ code, details, metadata: trailers }) =>
        setImmediate(() => resolve({ code, text: answered, details, trailers })),
      );
      started?.(call);
    });
  return {
    protection,
    address: `127.0.0.1:${port}`,
    client,
    ask,
    async [Symbol.asyncDispose]() {
      client.close();
      server.forceShutdown();
    },
  };
}

/** What no client does: it has told a deadline, and waits for the answer all the same. */
async function askByHand(address: string, timeout: string): Promise<IncomingHttpHeaders> {
  const session = connect(`http://${address}`);
  const stream = session.request({
    ":method": "POST",
    ":path": orders.get.path,
    "content-type": "application/grpc",
    te: "trailers",
    "grpc-timeout": timeout,
  });
  stream.end(Buffer.from([0, 0, 0, 0, 1, 120]));
  const [headers] = (await once(stream, "response")) as [IncomingHttpHeaders];
  stream.resume();
  await once(stream, "close");
  session.close();
  return headers;
}

test("a handler has what is left of its caller's time, and its priority", async () => {
  await using served = await serving({}, (_, answer) =>
    answer(null, JSON.stringify({ left: remainingMs(), priority: currentContext()?.priority })),
  );
  const { text: said } = await served.ask({ deadlineMs: 5_000, priority: "critical" });
  const { left, priority } = JSON.parse(said ?? "") as { left: number; priority: string };
  expect(left).toBeGreaterThan(1_000);
  expect(left).toBeLessThanOrEqual(5_000);
  expect(priority).toBe("critical");
});

test("a stream has them, too, and is not counted", async () => {
  await using served = await serving(
    {},
    (_, answer) => answer(null, ""),
    (call) => {
      call.write(`${remainingMs()} ${served.protection.status.inflight}`);
      call.end();
    },
  );
  const { serialize, deserialize } = text;
  const stream = served.client.makeServerStreamRequest(orders.watch.path, serialize, deserialize, "x", {
    deadline: Date.now() + 5_000,
  });
  const [said] = (await stream.toArray()) as [string];
  expect(said).toMatch(/^[1-5]\d{3}(\.\d+)? 0$/);
});

test("work is told when its caller has gone, and when its time is over", async () => {
  const reasons: string[] = [];
  await using served = await serving({}, () => {
    const signal = callSignal() as AbortSignal;
    signal.addEventListener("abort", () => reasons.push(signal.reason.name));
  });
  let call: grpc.ClientUnaryCall | undefined;
  const cancelled = served.ask({ started: (started) => (call = started) });
  await until("the call has come in", () => served.protection.status.inflight === 1, 5_000);
  call?.cancel();
  expect((await cancelled).code).toBe(grpc.status.CANCELLED);
  await until("the work was told", () => reasons.length === 1, 5_000);
  const { "grpc-status": status } = await askByHand(served.address, "100m");
  expect(status).toBe(String(grpc.status.DEADLINE_EXCEEDED));
  await until("the work was told", () => reasons.length === 2, 5_000);
  expect(reasons).toEqual(["AbortError", "TimeoutError"]);
  expect(served.protection.status.inflight).toBe(0);
});

test("calls above the limit are shed, the sheddable first and the critical last", async () => {
  const held: grpc.sendUnaryData<string>[] = [];
  await using served = await serving({ limits: { inflight: 10, adaptive: false } }, (_, answer) => {
    held.push(answer);
  });
  const calls: Promise<Answer>[] = [];
  const fill = async (priority: string, most: number): Promise<void> => {
    while (held.length < most) {
      const before = held.length;
      calls.push(served.ask({ priority }));
      await until("it is in", () => held.length > before, 5_000);
    }
    const { code, details } = await served.ask({ priority });
    expect({ code, details }).toEqual({
      code: grpc.status.RESOURCE_EXHAUSTED,
      details: expect.stringMatching(/in flight/),
    });
  };
  await fill("critical", 10);
  for (const answer of held.splice(5)) answer(null, "");
  await until("half have ended", () => served.protection.status.inflight === 5, 5_000);
  await fill("sheddable", 7);
  await fill("default", 9);
  expect((await served.ask({ path: health.check.path })).text).toBe("SERVING");
  for (const answer of held) answer(null, "");
  for (const answer of await Promise.all(calls)) expect(answer.code).toBe(grpc.status.OK);
  expect(served.protection.status).toMatchObject({ inflight: 0, refused: { concurrency: 3 } });
});

test("a failing answer tells its caller not to try again, if what failed lies below", async () => {
  await using served = await serving({}, ({ request }, answer) => {
    if (request === "x") currentContext()?.noteFailureBelow();
    const metadata = new grpc.Metadata();
    metadata.set("x-own", "1");
    answer({ code: grpc.status.UNAVAILABLE, details: "no stock", metadata });
  });
  const { code, details, trailers } = await served.ask();
  expect({ code, details }).toEqual({ code: grpc.status.UNAVAILABLE, details: "no stock" });
  expect(trailers.get("evenkeel-retry")).toEqual(["no"]);
  expect(trailers.get("x-own")).toEqual(["1"]);
});

test("other answers say nothing of it", async () => {
  let isFailing = false;
  await using served = await serving({ loadReports: false }, (_, answer) => {
    if (isFailing) return answer({ code: grpc.status.NOT_FOUND, details: "no such order" });
    currentContext()?.noteFailureBelow();
    answer(null, "fine");
  });
  const fine = await served.ask();
  isFailing = true;
  const failing = await served.ask();
  expect([fine.code, failing.code]).toEqual([grpc.status.OK, grpc.status.NOT_FOUND]);
  for (const { trailers } of [fine, failing]) {
    expect(trailers.get("evenkeel-retry")).toEqual([]);
    expect(trailers.get("endpoint-load-metrics-bin")).toEqual([]);
  }
});

test("an answer tells the load, as protobuf's own reader reads it", async () => {
  const held: grpc.sendUnaryData<string>[] = [];
  await using served = await serving({}, (_, answer) => {
    if (held.length < 3) held.push(answer);
    else answer(null, "");
  });
  const calls = Array.from({ length: 3 }, () => served.ask());
  await until("three are held", () => held.length === 3, 5_000);
  // The meter looks once a second.
  await new Promise((resolve) => setTimeout(resolve, 1_050));
  const [bytes] = (await served.ask()).trailers.get("endpoint-load-metrics-bin") as [Buffer];
  for (const answer of held) answer(null, "");
  await Promise.all(calls);

  const include = new URL("../../node_modules/@grpc/grpc-js/proto/", import.meta.url).pathname;
  const definition = loadSync("xds/data/orca/v3/orca_load_report.proto", {
    includeDirs: [`${include}xds`, `${include}protoc-gen-validate`],
  })["xds.data.orca.v3.OrcaLoadReport"] as { deserialize(bytes: Buffer): Record<string, unknown> };
  const read = definition.deserialize(bytes);
  expect(read).toMatchObject({ namedMetrics: { inflight: 3 } });
  const report = decodeLoadReport(bytes);
  expect(report).toMatchObject({ inflight: 3, memUtilization: read.memUtilization });
  expect(report?.memUtilization).toBeGreaterThan(0);
});

test("a call whose time was over when it came in is refused, and its work never starts", async () => {
  let started = 0;
  await using served = await serving({}, (_, answer) => {
    started++;
    answer(null, "");
  });
  const headers = await askByHand(served.address, "900u");
  expect(headers["grpc-status"]).toBe(String(grpc.status.DEADLINE_EXCEEDED));
  expect(started).toBe(0);
  expect(served.protection.status).toMatchObject({ inflight: 0, refused: { deadline: 1 } });
});
