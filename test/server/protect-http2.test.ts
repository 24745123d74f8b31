/** What is particular to a protected server of node:http2: streams that end without an answer, many on one connection. */
import { once } from "node:events";
import { type ClientHttp2Session, connect, constants, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { expect, test, vi } from "vitest";
import { callSignal, type ProtectOptions, protect } from "../../src/server/index.ts";
import { ProtectionCore } from "../../src/server/protection-core.ts";
import { until } from "../support/until.ts";
import type { Handler } from "./support/protocol-servers.ts";

async function serving(options: ProtectOptions, handler: Handler) {
  const protection = protect({ deadlineHeader: "x-timeout-ms", ...options });
  const server = createServer(protection.listener(handler as never));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client: ClientHttp2Session = connect(address);
  return {
    protection,
    address,
    client,
    async get(path: string, headers: Record<string, string> = {}) {
      const stream = client.request({ ":path": path, ...headers });
      const [answered] = (await once(stream, "response")) as [Record<string, string | number>];
      return { headers: answered, text: await text(stream) };
    },
    async [Symbol.asyncDispose]() {
      client.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test.each(["GET", "HEAD"])("%s: work is told when its caller has cancelled", async (method) => {
  const reasons: string[] = [];
  await using served = await serving({}, () => {
    const signal = callSignal() as AbortSignal;
    signal.addEventListener("abort", () => reasons.push(signal.reason.name));
  });
  const stream = served.client.request({ ":path": "/", ":method": method });
  stream.on("error", () => {});
  await until("the call has come in", () => served.protection.status.inflight === 1, 5_000);
  stream.close(constants.NGHTTP2_CANCEL);
  await until("the call has ended", () => served.protection.status.inflight === 0, 5_000);
  expect(reasons).toEqual(["AbortError"]);
});

test("the first call of a connection is its first stream, and no other", async () => {
  const admit = vi.spyOn(ProtectionCore.prototype, "admit");
  await using served = await serving({}, (_, response) => response.end("done"));
  for (const _ of [1, 2, 3]) expect(await served.get("/")).toMatchObject({ text: "done" });
  const other = connect(served.address);
  await text(other.request({ ":path": "/" }));
  other.destroy();
  expect(admit.mock.calls.map(([{ isFresh }]) => isFresh)).toEqual([true, false, false, true]);
  admit.mockRestore();
});

test("work that destroys its answer after the deadline does not break off the one that went out", async () => {
  let destroyed = 0;
  await using served = await serving({}, async (_, response) => {
    await once(callSignal() as AbortSignal, "abort");
    response.destroy(new Error("what it waited for was aborted"));
    destroyed++;
  });
  // Without an error of the stream, which would be thrown here.
  expect(await served.get("/", { "x-timeout-ms": "20" })).toMatchObject({
    headers: { ":status": 504 },
    text: "The deadline of the call has passed.\n",
  });
  expect(destroyed).toBe(1);
  expect(served.protection.status.inflight).toBe(0);
});

test("a stream that has ended before the protection hears of it is not counted", async () => {
  const protection = protect();
  let served = 0;
  const listener = protection.listener(() => served++);
  const server = createServer(async (incoming, response) => {
    await once(incoming.stream, "close");
    listener(incoming, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const arrived = once(server, "request");
  const stream = client.request().on("error", () => {});
  await arrived;
  stream.close(constants.NGHTTP2_CANCEL);
  await until("it is handed on", () => served === 1, 5_000);
  expect(protection.status.inflight).toBe(0);
  client.destroy();
  await new Promise((resolve) => server.close(resolve));
});
