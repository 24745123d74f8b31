/** Awaits a call that waits for its next attempt, and nothing else: the process must not end before it is over. */
import { Balancer } from "../../../src/index.ts";

// Nobody listens there, and the second attempt waits: no socket keeps the process alive meanwhile.
const balancer = new Balancer({
  name: "orders",
  discovery: ["http://127.0.0.1:1"],
  retry: { attempts: 4, backoffMs: 300, maxBackoffMs: 300 },
  random: () => 0.9,
});
const error = await balancer.fetch("/").catch((failed: Error) => failed.cause as Error);
console.log((error as Error & { code: string }).code);
