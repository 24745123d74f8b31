/** A program that listens and then stands still: once its short backlog is full, connecting to it never ends. */

import type { AddressInfo } from "node:net";
import { createServer } from "node:net";

const server = createServer();
server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
  const { port } = server.address() as AddressInfo;
  process.send?.({ port }, () => {
    process.kill(process.pid, "SIGSTOP");
  });
});
process.on("disconnect", () => process.exit(0));
