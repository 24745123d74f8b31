/** A server that registers itself and stops by signal; `slow` never finishes the call that it is given. */
import { createServer } from "node:http";
import { closeOnSignals, register } from "../../../src/server/index.ts";
import { MemoryRegistry } from "../../../src/testing/memory-registry.ts";

const isSlow = process.argv.includes("slow");
const server = createServer((_request, response) => {
  process.send?.("called");
  if (!isSlow) setTimeout(() => response.end("ok"), 200);
});
const registry = new MemoryRegistry();
const registration = register({ registry, service: "orders", server, drainMs: 100, closeMs: 60_000 });
closeOnSignals(registration);
server.listen(0, "127.0.0.1");
await registration.ready();
process.send?.(registration.instances[0]?.address);
process.channel?.unref();
