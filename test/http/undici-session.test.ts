/** Holds undici to where it keeps the HTTP/2 session of a connection: streams that nobody asked for are found by it. */
import { once } from "node:events";
import { createServer } from "node:http2";
import { type AddressInfo, connect, type Socket } from "node:net";
import { Client } from "undici";
import { expect, test } from "vitest";
import { dropStrayStreams } from "../../src/http/undici-internals.ts";

test("a Client's socket leads to its session", async () => {
  const server = createServer((_, response) => response.end("ok"));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  let socket: Socket | undefined;
  const client = new Client(`http://127.0.0.1:${port}`, {
    connect: (_options: object, done: (error: null, socket: Socket) => void) => {
      const made = connect(port, "127.0.0.1", () => done(null, Object.assign(made, { alpnProtocol: "h2" })));
      socket = made;
    },
  } as unknown as Client.Options);
  try {
    const { body } = await client.request({ path: "/", method: "GET" });
    await body.dump();
    const session = Object.getOwnPropertySymbols(socket as object).find(
      ({ description }) => description === "http2Session",
    );
    const before = (socket as unknown as Record<symbol, NodeJS.EventEmitter>)[session as symbol];
    const listening = before?.listenerCount("stream") ?? Number.NaN;
    dropStrayStreams(socket as Socket);
    expect(before?.listenerCount("stream")).toBe(listening + 1);
  } finally {
    await client.close();
    server.close();
  }
});
