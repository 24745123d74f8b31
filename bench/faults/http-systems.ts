/** The HTTP systems of the fault bench: Evenkeel, and what undici offers for several nodes. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { Agent, BalancedPool, type Dispatcher, interceptors } from "undici";
import { Balancer } from "../../src/index.ts";
import { attemptMs, attempts, backoffMs, totalMs } from "./plan.ts";
import type { Caller, System } from "./system.ts";

const request = { path: "/v1/orders/42", method: "GET" } as const;
/** Evenkeel's defaults and 500. */
const statuses: number[] = [500, 502, 503, 504];
/** undici's own list. */
const errorCodes: readonly string[] = [
  "ECONNRESET",
  "ECONNREFUSED",
  "ENOTFOUND",
  "ENETDOWN",
  "ENETUNREACH",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "EPIPE",
  "UND_ERR_SOCKET",
];

const evenkeel: System = {
  name: "Evenkeel",
  protocol: "http",
  settings: `all defaults, but \`retry.statuses\` ${statuses.join(", ")} and \`attemptMs\` ${attemptMs}`,
  async open(addresses) {
    const balancer = new Balancer({
      name: "orders",
      discovery: addresses,
      timeouts: { attemptMs, totalMs },
      retry: { statuses },
    });
    await balancer.ready();
    return createCaller(
      () => balancer.request(request),
      () => balancer.destroy(),
    );
  },
};

const balancedPool: System = {
  name: "BalancedPool",
  protocol: "http",
  settings: "undici's defaults",
  async open(addresses) {
    const pool = new BalancedPool([...addresses]);
    return createCaller(
      () => pool.request({ ...request, signal: AbortSignal.timeout(totalMs) }),
      () => pool.destroy(),
    );
  },
};

const balancedPoolWithRetry: System = {
  name: "BalancedPool, retry interceptor",
  protocol: "http",
  settings: `\`maxRetries\` ${attempts - 1}, \`statusCodes\` ${statuses.join(", ")}; else undici's defaults, such as 500 ms before a retry`,
  async open(addresses) {
    const pool = new BalancedPool([...addresses]);
    const retrying = pool.compose(interceptors.retry({ maxRetries: attempts - 1, statusCodes: statuses }));
    return createCaller(
      () => retrying.request({ ...request, signal: AbortSignal.timeout(totalMs) }),
      () => pool.destroy(),
    );
  },
};

const balancedPoolTuned: System = {
  name: "BalancedPool, retry interceptor, tuned",
  protocol: "http",
  settings: `as before, and told all that Evenkeel is told: \`headersTimeout\` ${attemptMs} and a retry after it, \`minTimeout\` ${backoffMs}`,
  async open(addresses) {
    const pool = new BalancedPool([...addresses], { headersTimeout: attemptMs });
    const retrying = pool.compose(
      interceptors.retry({
        maxRetries: attempts - 1,
        statusCodes: statuses,
        errorCodes: [...errorCodes, "UND_ERR_HEADERS_TIMEOUT"],
        minTimeout: backoffMs,
      }),
    );
    return createCaller(
      () => retrying.request({ ...request, signal: AbortSignal.timeout(totalMs) }),
      () => pool.destroy(),
    );
  },
};

const agentRoundRobin: System = {
  name: "Agent, round robin by hand",
  protocol: "http",
  settings: "undici's defaults",
  async open(addresses) {
    const agent = new Agent();
    let next = 0;
    return createCaller(
      () => {
        const origin = addresses[next++ % addresses.length] as string;
        return agent.request({ ...request, origin, signal: AbortSignal.timeout(totalMs) });
      },
      () => agent.destroy(),
    );
  },
};

export const httpSystems: readonly System[] = [
  evenkeel,
  balancedPool,
  balancedPoolWithRetry,
  balancedPoolTuned,
  agentRoundRobin,
];

function createCaller(send: () => Promise<Dispatcher.ResponseData>, destroy: () => Promise<unknown>): Caller {
  const sent = new Map<string, number>();
  // undici tells of every request that it hands to a client, whichever dispatcher chose that client.
  const channel = "undici:request:create";
  const onCreate = (message: unknown): void => {
    const { origin } = (message as { readonly request: { readonly origin: string } }).request;
    sent.set(origin, (sent.get(origin) ?? 0) + 1);
  };
  subscribe(channel, onCreate);
  return {
    async call() {
      const { statusCode, body } = await send();
      await body.text();
      if (statusCode >= 500) throw new Error(`status ${statusCode}`);
    },
    sent: () => new Map(sent),
    async close() {
      unsubscribe(channel, onCreate);
      await destroy();
    },
  };
}
