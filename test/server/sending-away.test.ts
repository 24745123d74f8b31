/** What a server that stops tells clients that know nothing of any registry. */
import { once } from "node:events";
import { Agent, createServer, type IncomingMessage, request, type Server } from "node:http";
import { connect, createServer as createH2cServer, type Http2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { register } from "../../src/server/index.ts";
import { MemoryRegistry } from "../../src/testing/memory-registry.ts";
import { until } from "../support/until.ts";

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

async function get(port: number, path: string, agent: Agent): Promise<IncomingMessage & { body: string }> {
  const sent = request({ host: "127.0.0.1", port, path, agent }).end();
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  return Object.assign(answer, { body: await text(answer) });
}

test("HTTP/1.1: answers say close, those in flight included, and those that have begun are finished", async () => {
  const held: (() => void)[] = [];
  const server = createServer((incoming, response) => {
    if (incoming.url === "/begun") response.write("begun ");
    if (incoming.url === "/quick") response.end("quick");
    else held.push(() => response.end("done"));
  });
  const registration = register({
    registry: new MemoryRegistry(),
    service: "orders",
    server,
    drainMs: 1_000,
  });
  server.listen(0, "127.0.0.1");
  await registration.ready();
  const port = portOf(server);
  const agent = new Agent({ keepAlive: true });
  const before = await get(port, "/quick", agent);
  expect(before.headers.connection).toBe("keep-alive");
  const inFlight = get(port, "/held", agent);
  const begun = get(port, "/begun", agent);
  await until("two calls are held", () => held.length === 2, 5_000);

  const closed = registration.close();
  await until("it sends away", () => registration.draining, 1_000);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const meanwhile = await get(port, "/quick", new Agent());
  expect(meanwhile.body).toBe("quick");
  expect(meanwhile.headers.connection).toBe("close");
  await until("it does not listen any more", () => !server.listening, 10_000);
  for (const end of held) end();
  expect((await inFlight).headers.connection).toBe("close");
  expect((await inFlight).body).toBe("done");
  expect((await begun).headers.connection).toBe("keep-alive");
  expect((await begun).body).toBe("begun done");
  // Also the connection that was told to stay open: nobody waits for its client to tire of it.
  await closed;
  agent.destroy();
});

test("HTTP/2: sessions get a GOAWAY that refuses nothing, and streams in flight are finished", async () => {
  const held: Http2Stream[] = [];
  const server = createH2cServer();
  server.on("stream", (stream) => held.push(stream));
  const registration = register({ registry: new MemoryRegistry(), service: "orders", server, drainMs: 500 });
  server.listen(0, "127.0.0.1");
  await registration.ready();
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const goAways: number[] = [];
  session.on("goaway", (_code, lastStream) => goAways.push(lastStream));
  const stream = session.request({ ":path": "/" });
  await until("a stream is held", () => held.length === 1, 5_000);

  const closed = registration.close();
  await until("it is sent away", () => goAways.length > 0, 5_000);
  expect(goAways[0]).toBe(2 ** 31 - 1);
  // A client that comes now is served, and sent away with its first call.
  const late = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const lateGoAway = once(late, "goaway");
  const lateStream = late.request({ ":path": "/late" });
  await until("its stream is held", () => held.length === 2, 5_000);
  expect((await lateGoAway)[1]).toBe(2 ** 31 - 1);
  await until("it does not listen any more", () => !server.listening, 10_000);
  for (const each of held) {
    (each as Http2Stream & { respond(headers: object): void }).respond({ ":status": 200 });
    each.end("done");
  }
  expect(await text(stream)).toBe("done");
  expect(await text(lateStream)).toBe("done");
  await closed;
});

test("what does not end is cut off after closeMs", async () => {
  let arrived = 0;
  const server = createServer(() => void arrived++);
  const registration = register({
    registry: new MemoryRegistry(),
    service: "orders",
    server,
    drainMs: 0,
    closeMs: 100,
  });
  server.listen(0, "127.0.0.1");
  await registration.ready();
  const failed = get(portOf(server), "/", new Agent()).catch((error: NodeJS.ErrnoException) => error.code);
  await until("the call has arrived", () => arrived === 1, 5_000);
  await registration.close();
  expect(await failed).toBe("ECONNRESET");
});
