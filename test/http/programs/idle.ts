/** Makes one call and leaves the dispatcher open. Arguments: "balancer" or "pool", and a node's address. */
import { Pool } from "undici";
import { Balancer } from "../../../src/index.ts";

const [, , kind, address] = process.argv as [string, string, string, string];
const dispatcher =
  kind === "pool" ? new Pool(address) : new Balancer({ name: "orders", discovery: [address] });
await (await dispatcher.request({ path: "/", method: "GET" })).body.text();
console.log("left open");
