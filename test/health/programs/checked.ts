/** Has its nodes checked for a while. Arguments: "close" or "leave", and the nodes' addresses. */
import { setTimeout as sleep } from "node:timers/promises";
import { Balancer, httpCheck, tcpCheck } from "../../../src/index.ts";

const [, , how, ...discovery] = process.argv as [string, string, string, ...string[]];
const often = { intervalMs: 10, timeoutMs: 60_000, rise: 1, fall: 1 };
const balancers = [httpCheck({ ...often, path: "/health" }), tcpCheck(often)].map(
  (check) => new Balancer({ name: "orders", discovery, health: { check } }),
);
await sleep(300);
if (how === "leave") {
  console.log("left open");
} else {
  await Promise.all(balancers.map((balancer) => balancer.close()));
  // A turn for sockets to be closed.
  await sleep(100);
  const left = process
    .getActiveResourcesInfo()
    .filter((kind) => !/PipeWrap|TTYWrap|FSReqPromise|Immediate/.test(kind));
  console.log(`closed, left: ${left.join() || "none"}`);
}
