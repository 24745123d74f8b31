/** Uses a balancer in several ways and closes it: the process must then end by itself. Argument: a node's address. */
import { Balancer } from "../../../src/index.ts";

const address = process.argv[2] as string;
const balancer = new Balancer({ name: "orders", discovery: [address, "http://127.0.0.1:1"] });
await balancer.ready();
for (let call = 0; call < 5; call++) await (await balancer.fetch("/")).text();
await (await balancer.request({ path: "/", method: "PUT", body: "x" })).body.text();
await balancer
  .request({ path: "/", method: "GET", signal: AbortSignal.timeout(1) })
  .then(({ body }) => body.dump())
  .catch(() => {});
await balancer.close();
console.log("closed");
