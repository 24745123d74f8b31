/** The fault proxy: what each fault does to connections that are open and to those that come, and what it counts. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { type Fault, startFaultProxy } from "../../src/testing/index.ts";
import { until } from "../support/until.ts";
import { startEcho, TestClient } from "./support/echo.ts";

const limitMs = 5_000;
/** Long enough for whatever would come to have come: nothing on this machine takes more than a few. */
const quietMs = 100;

/** Sends a text, and waits until it has come back whole. */
async function echoed(client: TestClient, text: string): Promise<void> {
  const before = client.received;
  client.send(text);
  await until(`"${text}" comes back`, () => client.received === before + text, limitMs);
}

test("without a fault all bytes and both ends pass, and are counted", async () => {
  await using echo = await startEcho();
  await using proxy = await startFaultProxy({ target: echo.address });
  using one = new TestClient(proxy.port);
  using other = new TestClient(proxy.port);
  const large = "x".repeat(3_000_000);
  await Promise.all([echoed(one, large), echoed(other, "other")]);
  expect(proxy).toMatchObject({ connections: 2, accepted: 2, fault: { kind: "none" } });
  expect(proxy.bytes).toEqual({ request: 3_000_005, response: 3_000_005 });

  one.socket.end();
  await until("its end came back", () => one.saw("close"), limitMs);
  expect(one.events).toEqual(["connect", "end", "close"]);
  await until("the proxy has let go of it", () => proxy.connections === 1, limitMs);
  other.socket.resetAndDestroy();
  await until("the service saw a RST", () => echo.events.includes("1 ECONNRESET"), limitMs);
  expect(echo.events.filter((event) => event.startsWith("0"))).toEqual(["0 end", "0 close"]);
  await until("no connection is open", () => proxy.connections === 0, limitMs);
});

test("delay holds each piece back, in order, with jitter and the end of the connection too", async () => {
  await using echo = await startEcho();
  await using proxy = await startFaultProxy({ target: echo.address });
  using client = new TestClient(proxy.port);
  await echoed(client, "ready ");
  await proxy.set({ kind: "delay", ms: 100, jitterMs: 100, direction: "response" });
  const startedAt = performance.now();
  for (let piece = 0; piece < 10; piece++) {
    client.send(String(piece));
    await sleep(2);
  }
  client.socket.end();
  await until("the service has all", () => echo.events.includes("0 end"), limitMs);
  expect(client.received).toBe("ready ");
  await until("the end", () => client.saw("close"), limitMs);
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(100);
  expect(client.received).toBe("ready 0123456789");
});

test("stall lets nothing pass, and what it held back once it is lifted", async () => {
  await using echo = await startEcho();
  await using proxy = await startFaultProxy({ target: echo.address });
  using old = new TestClient(proxy.port);
  await echoed(old, "ready ");
  await proxy.set({ kind: "stall" });
  using late = new TestClient(proxy.port);
  old.send("held");
  old.socket.end();
  late.send("late");
  await sleep(quietMs);
  expect(proxy.bytes).toEqual({ request: 6, response: 6 });
  expect(echo.events).toEqual([]);
  expect(proxy.connections).toBe(2);

  await proxy.reset();
  await until("all came through", () => old.saw("close") && late.received === "late", limitMs);
  expect(old.received).toBe("ready held");
});

test("stall can concern one direction, and slows a sender down instead of taking all that it has", async () => {
  await using echo = await startEcho();
  await using proxy = await startFaultProxy({ target: echo.address });
  using client = new TestClient(proxy.port);
  await echoed(client, "ready");
  await proxy.set({ kind: "stall", direction: "response" });
  const size = 64 * 2 ** 20;
  client.socket.write(Buffer.alloc(size));
  await until("the first bytes arrive", () => proxy.bytes.request > 1_000, limitMs);
  await sleep(quietMs);
  // The echo's memory is not what is tested: it keeps what it cannot send, all of it at most.
  expect(proxy.bytes.response).toBe(5);

  await proxy.set({ kind: "stall", direction: "request" });
  using other = new TestClient(proxy.port);
  other.socket.write(Buffer.alloc(size));
  await sleep(quietMs);
  expect(other.socket.bytesWritten - other.socket.writableLength).toBeLessThan(size);
  expect(other.socket.writableLength).toBeGreaterThan(size / 2);
});

test("reset ends open connections at once and new ones as they come, with a RST on both sides", async () => {
  await using echo = await startEcho();
  await using proxy = await startFaultProxy({ target: echo.address });
  using old = new TestClient(proxy.port);
  await echoed(old, "ready");
  await proxy.set({ kind: "reset" });
  using late = new TestClient(proxy.port);
  await until("both are reset", () => old.saw("close") && late.saw("close"), limitMs);
  expect(old.events).toEqual(["connect", "ECONNRESET", "close"]);
  expect(late.events).toContain("ECONNRESET");
  await until("the service was told", () => echo.events.includes("0 ECONNRESET"), limitMs);
  expect(proxy).toMatchObject({ connections: 0, accepted: 2 });
});

test.for<[Fault, string]>([
  [{ kind: "reset", afterBytes: 4 }, "ECONNRESET"],
  [{ kind: "truncate", afterBytes: 4 }, "end"],
])("%o ends a connection after exactly that many bytes of response", async ([fault, end]) => {
  await using echo = await startEcho();
  await using proxy = await startFaultProxy({ target: echo.address });
  using old = new TestClient(proxy.port);
  await echoed(old, "before ");
  await proxy.set(fault);
  using late = new TestClient(proxy.port);
  for (const client of [old, late]) {
    client.send("12");
    client.send("345678");
  }
  await until("both saw the end", () => old.saw(end) && late.saw(end), limitMs);
  for (const client of [old, late]) client.socket.end();
  await until("both are closed", () => old.saw("close") && late.saw("close"), limitMs);
  expect(old.received).toBe("before 1234");
  expect(late.received).toBe("1234");
  expect(proxy.bytes.response).toBe(7 + 4 + 4);
  await until("no connection is open", () => proxy.connections === 0, limitMs);
  await until(
    "the service was told",
    () => echo.events.filter((e) => e.endsWith("close")).length === 2,
    limitMs,
  );
});

test("reset and truncate after 0 bytes take the answer and not the request", async () => {
  await using echo = await startEcho();
  await using proxy = await startFaultProxy({ target: echo.address });
  for (const [kind, end] of [
    ["reset", "ECONNRESET"],
    ["truncate", "end"],
  ] as const) {
    await proxy.set({ kind, afterBytes: 0 });
    using client = new TestClient(proxy.port);
    client.send("asked");
    await until(`the client saw ${end}`, () => client.saw(end), limitMs);
    expect(client.received).toBe("");
  }
  expect(proxy.bytes).toEqual({ request: 10, response: 0 });
});

test.for([
  { bytes: 1, everyMs: 0, text: "one byte at a time" },
  { bytes: 5, everyMs: 20, text: "five and twenty and more" },
])("drip sends $bytes bytes every $everyMs ms", async ({ bytes, everyMs, text }) => {
  await using echo = await startEcho();
  await using proxy = await startFaultProxy({ target: echo.address });
  await proxy.set({ kind: "drip", bytes, everyMs });
  using client = new TestClient(proxy.port);
  const startedAt = performance.now();
  await echoed(client, text);
  const pieces = Math.ceil(text.length / bytes);
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual((pieces - 1) * everyMs);
  for (const chunk of client.chunks) {
    // The kernel may hand over what two segments brought as one piece.
    if (everyMs > 0) expect(chunk.length).toBeLessThanOrEqual(2 * bytes);
  }
  expect(proxy.bytes).toEqual({ request: text.length, response: text.length });
});

test.for(["service", "client"] as const)(
  "half-open closes the side of the %s, and leaves the other in silence until the fault is lifted",
  async (closed) => {
    await using echo = await startEcho();
    await using proxy = await startFaultProxy({ target: echo.address });
    using client = new TestClient(proxy.port);
    await echoed(client, "ready");
    await proxy.set({ kind: "half-open", closed });
    const [service] = echo.sockets;
    if (closed === "service") {
      await until("the service's side is closed", () => echo.events.includes("0 close"), limitMs);
      client.send("anybody there?");
      await sleep(quietMs);
      expect(client.events).toEqual(["connect"]);
      await proxy.reset();
      client.send("and now?");
      await until("the client is reset", () => client.saw("ECONNRESET"), limitMs);
    } else {
      await until("the client's side is closed", () => client.saw("end"), limitMs);
      expect(proxy.connections).toBe(0);
      service?.write("anybody there?");
      await sleep(quietMs);
      expect(echo.events).toEqual([]);
      await proxy.reset();
      service?.write("and now?");
      await until("the service is reset", () => echo.events.includes("0 ECONNRESET"), limitMs);
    }
    expect(client.received).toBe("ready");
    using later = new TestClient(proxy.port);
    await echoed(later, "later");
  },
);

test("refuse refuses new connections, keeps open ones, and is back on the same port", async () => {
  await using echo = await startEcho();
  await using proxy = await startFaultProxy({ target: echo.address });
  using old = new TestClient(proxy.port);
  await echoed(old, "ready ");
  for (let round = 0; round < 3; round++) {
    await proxy.set({ kind: "refuse" });
    using refused = new TestClient(proxy.port);
    await until("a connection is refused", () => refused.saw("close"), limitMs);
    expect(refused.events).toEqual(["ECONNREFUSED", "close"]);
    await echoed(old, "still ");
    await proxy.reset();
    using accepted = new TestClient(proxy.port);
    await echoed(accepted, "back");
  }
  expect(proxy.accepted).toBe(4);
});

test("blackhole neither accepts nor refuses; a client that waits gets through once it is lifted", async () => {
  await using echo = await startEcho();
  await using proxy = await startFaultProxy({ target: echo.address });
  using old = new TestClient(proxy.port);
  await echoed(old, "ready ");
  await proxy.set({ kind: "blackhole" });
  using waiting = new TestClient(proxy.port);
  old.send("held");
  waiting.send("waited");
  await sleep(5 * quietMs);
  expect(waiting.events).toEqual([]);
  expect(old.received).toBe("ready ");

  await proxy.reset();
  await until(
    "it came through",
    () => old.received === "ready held" && waiting.received === "waited",
    limitMs,
  );
  await proxy.set({ kind: "blackhole" });
  await proxy.set({ kind: "refuse" });
  using refused = new TestClient(proxy.port);
  await until("a connection is refused", () => refused.saw("ECONNREFUSED"), limitMs);
});

test("a target that refuses resets the client", async () => {
  let address: string;
  {
    await using echo = await startEcho();
    ({ address } = echo);
  }
  await using proxy = await startFaultProxy({ target: address });
  using client = new TestClient(proxy.port);
  await until("the client is reset", () => client.saw("close"), limitMs);
  expect(client.events).toContain("ECONNRESET");
});

test.for<Fault>([
  { kind: "none" },
  { kind: "stall" },
  { kind: "delay", ms: 60_000 },
  { kind: "drip", everyMs: 60_000 },
  { kind: "half-open" },
  { kind: "refuse" },
  { kind: "blackhole" },
])("close leaves nothing behind with %o", async (fault) => {
  await using echo = await startEcho();
  const before = serversAndSockets();
  {
    await using proxy = await startFaultProxy({ target: echo.address });
    using client = new TestClient(proxy.port);
    await echoed(client, "ready");
    await proxy.set(fault);
    client.send("something");
    await sleep(20);
    await proxy.close();
    await until("the client is closed", () => client.saw("end") || client.saw("close"), limitMs);
    await expect(proxy.set({ kind: "none" })).rejects.toThrow("is closed");
  }
  await until("the service's side is closed", () => echo.events.includes("0 close"), limitMs);
  // The echo's server was there before, and is still.
  await until("nothing is left", () => serversAndSockets() <= before, limitMs);
});

test("a fault that is none is refused, and changes nothing", async () => {
  await using echo = await startEcho();
  await using proxy = await startFaultProxy({ target: echo.address });
  await proxy.set({ kind: "stall" });
  const refused = async (fault: unknown) => await expect(proxy.set(fault as Fault)).rejects;
  await (await refused({ kind: "flood" })).toThrow('fault.kind is not one that the proxy knows, got "flood"');
  await (await refused({ kind: "delay" })).toThrow("fault.ms must be given");
  await (await refused({ kind: "truncate", afterBytes: -1 })).toThrow("fault.afterBytes must be an integer");
  await (await refused({ kind: "drip", byte: 1 })).toThrow('did you mean "bytes"');
  await (await refused({ kind: "stall", direction: "up" })).toThrow("fault.direction must be");
  expect(proxy.fault).toEqual({ kind: "stall", direction: "both" });
  await expect(startFaultProxy({} as never)).rejects.toThrow("target must be given");
});

/** What of the network, and which threads, this process holds. */
function serversAndSockets(): number {
  const kinds = ["TCPServerWrap", "TCPSocketWrap", "TCPWrap", "TCPConnectWrap", "MessagePort", "Worker"];
  return process.getActiveResourcesInfo().filter((kind) => kinds.includes(kind)).length;
}
