/** A protected server whose client sends calls without waiting for an answer, and goes without one. */
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { callSignal, protect, register } from "../../../src/server/index.ts";
import { MemoryRegistry } from "../../../src/testing/memory-registry.ts";
import { until } from "../../support/until.ts";

/** More than the listeners that an emitter may have before Node.js warns. */
const calls = 12;

const warnings: string[] = [];
process.on("warning", ({ name }) => warnings.push(name));
const reasons: string[] = [];
const responses: ServerResponse[] = [];
const protection = protect({ limits: { adaptive: false } });
const server = createServer(
  protection.listener((_, response: ServerResponse) => {
    const signal = callSignal() as AbortSignal;
    signal.addEventListener("abort", () => reasons.push(signal.reason.name));
    responses.push(response);
  }),
);
const registration = register({ registry: new MemoryRegistry(), service: "orders", server, drainMs: 0 });
const connected = once(server, "connection") as Promise<[Socket]>;
server.listen(0, "127.0.0.1");
await registration.ready();
const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
client.write("GET / HTTP/1.1\r\nhost: orders\r\n\r\n".repeat(calls));
await until("all have come in", () => responses.length === calls, 5_000);
const inflight = [protection.status.inflight];

const [socket] = await connected;
const closed = new Promise((resolve) => socket.once("close", resolve));
client.resetAndDestroy();
await closed;
await new Promise((resolve) => setImmediate(resolve));
inflight.push(protection.status.inflight);
// What still waits is told to say close.
await registration.close();
const waiting = responses.filter((response) => response.hasHeader("connection")).length;
process.send?.({ node: process.version, inflight, reasons, waiting, warnings });
process.channel?.unref();
