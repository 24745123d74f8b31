/** A server that calculates for 5 ms for each call, `protected` or not, and says how often it did when it is asked. */
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { protect } from "../../../src/server/index.ts";

let done = 0;
const calculate: RequestListener = (_, response) => {
  const until = performance.now() + 5;
  while (performance.now() < until);
  done++;
  response.end("done");
};

const isProtected = process.argv.includes("protected");
const server = createServer(isProtected ? protect().listener(calculate) : calculate);
process.on("message", () => process.send?.(done));
server.listen(0, "127.0.0.1", () => {
  process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
