/** Backends: what they speak, how they misbehave and how they end, seen by Node's own clients. */
import { once } from "node:events";
import { Agent, request as http1Request } from "node:http";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
} from "node:http2";
import { connect as connectTcp } from "node:net";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type BackendProtocol,
  type BackendTls,
  startBackend,
  startBackends,
} from "../../src/testing/index.ts";
import { type Authority, createAuthority } from "../support/certificates.ts";

let authority: Authority;
let tls: BackendTls;

beforeAll(async () => {
  authority = await createAuthority();
  tls = await authority.issue({ names: ["127.0.0.1"] });
});
afterAll(() => authority[Symbol.asyncDispose]());

interface Answer {
  readonly status: number | undefined;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

async function get(address: string, path = "/", agent = new Agent()): Promise<Answer> {
  const request = http1Request(new URL(path, address), { agent });
  request.end();
  const [response] = await once(request, "response");
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

/** @throws Error with the stream's code when it was reset. */
async function getOver(session: ClientHttp2Session, path = "/", headers = {}): Promise<Answer> {
  const stream: ClientHttp2Stream = session.request({ ...headers, ":path": path });
  stream.end();
  const [received] = await once(stream, "response");
  return { status: received[":status"], headers: received, body: await text(stream) };
}

async function openSession(address: string): Promise<ClientHttp2Session> {
  const session = connectHttp2(address, { ca: authority.ca });
  session.on("error", () => {});
  await once(session, "connect");
  return session;
}

/** What the server agrees on when a client offers both. */
async function agreedProtocol(port: number): Promise<string | false | null> {
  const socket: TLSSocket = connectTls({
    ...{ host: "127.0.0.1", port, ca: authority.ca },
    ALPNProtocols: ["h2", "http/1.1"],
  });
  await once(socket, "secureConnect");
  const { alpnProtocol } = socket;
  socket.destroy();
  return alpnProtocol;
}

test("http1 and h2c are spoken without encryption, and counted", async () => {
  await using plain = await startBackend({ workMs: 0, body: "plain" });
  expect(await get(plain.address)).toMatchObject({ status: 200, body: "plain" });
  expect(await plain.stats()).toMatchObject({ requests: 1, connections: 1, versions: { "1.1": 1 } });

  await using streams = await startBackend({ workMs: 0, body: "streams", bodyMs: 5 }, { protocol: "h2c" });
  expect(streams.address).toBe(`http://127.0.0.1:${streams.port}`);
  const session = await openSession(streams.address);
  const answers = await Promise.all([1, 2, 3].map(() => getOver(session, "/", { "x-test-key": "key" })));
  session.destroy();
  expect(answers.map(({ status, body }) => [status, body])).toEqual([1, 2, 3].map(() => [200, "streams"]));
  expect(await streams.stats()).toMatchObject({
    ...{ requests: 3, inflight: 0, connections: 1, keys: { key: 3 }, versions: { "2.0": 3 } },
  });
});

test.for<[BackendProtocol, string | false]>([
  ["https", "h2"],
  ["h2", "h2"],
  ["https1", "http/1.1"],
])("%s agrees with a client that offers both on %s", async ([protocol, expected]) => {
  await using backend = await startBackend({ workMs: 0 }, { protocol, tls });
  expect(backend.address).toBe(`https://127.0.0.1:${backend.port}`);
  expect(await agreedProtocol(backend.port)).toBe(expected);
  if (expected === "h2") {
    const session = await openSession(backend.address);
    expect(await getOver(session)).toMatchObject({ status: 200 });
    session.destroy();
  }
  if (protocol === "h2") return;
  const socket = connectTls({ host: "127.0.0.1", port: backend.port, ca: authority.ca });
  socket.write("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
  expect(await text(socket)).toMatch(/^HTTP\/1.1 200/);
});

test("a backend that cannot serve says why", async () => {
  await expect(startBackend({}, { protocol: "h2" })).rejects.toThrow("needs tls: { key, cert }");
  await using other = await startBackend();
  await expect(startBackend({}, other.port)).rejects.toThrow("EADDRINUSE");
});

test("healthStatus is for /health alone, and is answered while all workers are busy", async () => {
  await using backend = await startBackend({ status: 503, healthStatus: 200 });
  expect(await get(backend.address, "/health")).toMatchObject({ status: 200 });
  expect(await get(backend.address, "/healthy")).toMatchObject({ status: 503 });
  await backend.configure({ status: 200, healthStatus: 0, workMs: 3_600_000, workers: 1 });
  const never = get(backend.address).catch(() => {});
  while ((await backend.stats()).inflight === 0);
  await backend.configure({ healthStatus: 429 });
  expect(await get(backend.address, "/health")).toMatchObject({ status: 429 });
  await backend.kill();
  await never;
});

test("a cold backend is slower until coldMs after its start, and again after a restart", async () => {
  const took = async (address: string): Promise<number> => {
    const startedAt = performance.now();
    await get(address);
    return performance.now() - startedAt;
  };
  await using backend = await startBackend({ workMs: 0, coldMs: 1_000, coldWorkMs: 150 });
  expect(await took(backend.address)).toBeGreaterThanOrEqual(149);
  await sleep(1_000);
  const warm: number[] = [];
  for (let call = 0; call < 5; call++) warm.push(await took(backend.address));
  // The fastest, as the machine may hold up any of them.
  expect(Math.min(...warm)).toBeLessThan(149);
  await backend.kill();
  await using again = await backend.restart();
  expect(again.address).toBe(backend.address);
  expect(await took(again.address)).toBeGreaterThanOrEqual(149);
});

test("keepAliveTimeoutMs closes idle connections without having announced it", async () => {
  await using backend = await startBackend({ workMs: 0 });
  expect((await get(backend.address, "/", new Agent({ keepAlive: true }))).headers["keep-alive"]).toBe(
    "timeout=60",
  );
  await backend.configure({ keepAliveTimeoutMs: 100 });
  const socket = connectTcp(backend.port, "127.0.0.1");
  const received = text(socket);
  const startedAt = performance.now();
  for (let call = 0; call < 4; call++) {
    await sleep(50);
    socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  }
  const answers = await received;
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(250);
  expect(answers.match(/HTTP\/1.1 200/g)).toHaveLength(4);
  expect(answers).not.toMatch(/keep-alive:/i);

  await using streams = await startBackend({ workMs: 0, keepAliveTimeoutMs: 100 }, { protocol: "h2c" });
  const session = await openSession(streams.address);
  await getOver(session);
  await once(session, "close");
});

test("goAwayEveryMs sends sessions away; their streams are served to the end", async () => {
  await using backend = await startBackend({ workMs: 200, goAwayEveryMs: 100 }, { protocol: "h2c" });
  const goAways: number[] = [];
  for (let round = 0; round < 3; round++) {
    const session = await openSession(backend.address);
    session.on("goaway", (code) => goAways.push(code));
    const answer = getOver(session);
    await Promise.all([once(session, "goaway"), once(session, "close"), answer]);
    expect(await answer).toMatchObject({ status: 200 });
  }
  // Node says it once more when it closes the connection.
  expect(goAways.length).toBeGreaterThanOrEqual(3);
  expect(new Set(goAways)).toEqual(new Set([constants.NGHTTP2_NO_ERROR]));
});

test("refuseStreams refuses each stream as not worked on, calm ends each session", async () => {
  await using backend = await startBackend({ workMs: 0, refuseStreams: true }, { protocol: "h2", tls });
  const session = await openSession(backend.address);
  const stream = session.request({ ":path": "/" });
  await expect(once(stream, "close")).rejects.toThrow("NGHTTP2_REFUSED_STREAM");
  expect(stream.rstCode).toBe(constants.NGHTTP2_REFUSED_STREAM);
  expect(await backend.stats()).toMatchObject({ requests: 1, inflight: 0, connections: 1 });

  await backend.configure({ refuseStreams: false, calm: true });
  const goAway = once(session, "goaway");
  session.request({ ":path": "/" }).on("error", () => {});
  expect((await goAway)[0]).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  await backend.configure({ calm: false });
  const next = await openSession(backend.address);
  expect(await getOver(next)).toMatchObject({ status: 200 });
  next.destroy();
});

test.for<BackendProtocol>(["http1", "h2c", "https", "https1", "h2"])(
  "terminate answers what has arrived over %s, refuses what comes, and ends",
  async (protocol) => {
    const isPlain = protocol === "http1" || protocol === "h2c";
    const place = isPlain ? { protocol } : { protocol, tls };
    await using backend = await startBackend({ workMs: 300, body: "done", bodyMs: 50 }, place);
    let calls: Promise<unknown[]>;
    const connection = isPlain
      ? connectTcp(backend.port, "127.0.0.1")
      : connectTls({ host: "127.0.0.1", port: backend.port, ca: authority.ca });
    await once(connection, isPlain ? "connect" : "secureConnect");
    if (protocol === "h2c" || protocol === "h2") {
      connection.destroy();
      const session = await openSession(backend.address);
      calls = Promise.all([getOver(session), getOver(session)]);
    } else {
      connection.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
      calls = text(connection).then((answer) => [{ status: 200, body: answer.slice(-6), whole: answer }]);
    }
    const idle = connectTcp(backend.port, "127.0.0.1");
    idle.on("error", () => {});
    idle.resume();
    let requests = 0;
    while (requests === 0) requests = (await backend.stats()).requests;

    const gone = backend.terminate();
    for (const answer of await calls) expect(answer).toMatchObject({ status: 200 });
    idle.destroy();
    await gone;
    const late = connectTcp(backend.port, "127.0.0.1");
    const [error] = await once(late, "error").catch((thrown) => [thrown]);
    expect(error).toMatchObject({ code: "ECONNREFUSED" });
  },
);

test("startBackends starts several with the same behaviour and protocol", async () => {
  const backends = await startBackends(3, { workMs: 0, body: "x" }, { protocol: "h2c" });
  expect(new Set(backends.map(({ port }) => port)).size).toBe(3);
  for (const backend of backends) {
    const session = await openSession(backend.address);
    expect(await getOver(session)).toMatchObject({ body: "x" });
    session.destroy();
    await backend.kill();
  }
});
