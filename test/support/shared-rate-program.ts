/** One of several processes that share a rate over Redis: `<redis's URL> <calls>`. Prints how many it was granted. */
import { createClient } from "@redis/client";
import { RateLimiterRedis } from "rate-limiter-flexible";
import { SharedRate } from "../../src/resilience/shared-rate.ts";

const [url = "", calls = ""] = process.argv.slice(2);
const client = createClient({ url });
await client.connect();
// The time of a window is long, so that the count does not depend on how fast the processes are.
const limiter = new RateLimiterRedis({
  storeClient: client,
  useRedisPackage: true,
  points: 200,
  duration: 60,
});
const rate = new SharedRate(limiter, "orders", { waitMs: 10_000 });

let granted = 0;
let limited = 0;
for (let call = 0; call < Number(calls); call++) {
  const answer = await rate.take();
  if (answer instanceof Error) throw answer;
  if (answer === "granted") granted++;
  else limited++;
}
await client.close();
console.log(JSON.stringify({ granted, limited }));
