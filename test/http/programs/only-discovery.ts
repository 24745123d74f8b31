/** Awaits a call that waits for a discovery that says nothing: the process must not end before it is over. */
import { Balancer } from "../../../src/index.ts";

const balancer = new Balancer({
  name: "orders",
  discovery: {
    async *watch() {
      await new Promise(() => {});
    },
  },
  timeouts: { connectMs: 300 },
});
const error = await balancer.fetch("/").catch((failed: Error) => failed.cause as Error);
console.log((error as Error & { code: string }).code);
