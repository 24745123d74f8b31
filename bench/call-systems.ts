/** The systems whose cost per call is measured: what a program would use to call one of several nodes. */
import { Agent, BalancedPool, type Dispatcher, Pool } from "undici";
import { Balancer } from "../src/index.ts";

export interface System {
  /** One GET, its answer unread. */
  call(): Promise<Dispatcher.ResponseData>;
  close(): Promise<unknown>;
}

type Addresses = readonly string[];

const request = { path: "/v1/orders/42", method: "GET" } as const;

/** By name; the first is the yardstick: what a program would do by hand. */
export const systems: Readonly<Record<string, (addresses: Addresses) => System>> = {
  "round robin over bare Pools": (addresses) => {
    const pools = addresses.map((address) => new Pool(address, { connections: 100 }));
    let next = 0;
    return {
      call: () => (pools[next++ % pools.length] as Pool).request(request),
      close: () => Promise.all(pools.map((pool) => pool.close())),
    };
  },
  "Evenkeel, all defaults on": (addresses) => {
    const balancer = new Balancer({ name: "orders", discovery: addresses });
    return { call: () => balancer.request(request), close: () => balancer.close() };
  },
  "undici BalancedPool": (addresses) => {
    const pool = new BalancedPool([...addresses], { connections: 100 });
    return { call: () => pool.request(request), close: () => pool.close() };
  },
  "undici Agent, round robin by hand": (addresses) => {
    const agent = new Agent({ connections: 100 });
    let next = 0;
    return {
      call: () => agent.request({ ...request, origin: addresses[next++ % addresses.length] as string }),
      close: () => agent.close(),
    };
  },
};
