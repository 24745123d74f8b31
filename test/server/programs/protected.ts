/** A protected server without a registry, which stops by signal: it says that it is not ready, and serves on for a while. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { closeOnSignals, protect } from "../../../src/server/index.ts";

const protection = protect({ drainMs: 500 });
const server = createServer(protection.listener((_, response) => response.end("served")));
server.listen(0, "127.0.0.1", () => {
  process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  process.channel?.unref();
});
closeOnSignals([protection, { close: () => new Promise((resolve) => server.close(resolve)) }]);
