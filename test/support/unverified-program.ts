/** A program that calls an https node whose certificate nobody vouches for, through a Balancer and without one. */
import { Agent } from "undici";
import { Balancer } from "../../src/index.ts";

const [address = ""] = process.argv.slice(2);

async function causeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "none";
  } catch (error) {
    const { cause = error } = error as { readonly cause?: unknown };
    const { code, message } = cause as { readonly code?: string; readonly message?: string };
    return `${code} ${message}`;
  }
}

const get = { path: "/", method: "GET" } as const;
const balancer = new Balancer({ name: "orders", discovery: [address], retry: false });
const agent = new Agent({ connect: { servername: "orders" } });
const error = await causeOf(balancer.request(get));
const plain = await causeOf(agent.request({ ...get, origin: address }));
await balancer.close();
await agent.close();
console.log(JSON.stringify({ error, plain }));
