/**
 * Discovery from Nacos 2 and 3, and registration with it: the entry of `evenkeel/nacos`.
 *
 * @example
 * const registry = nacos({ servers: ["10.0.0.1:8848", "10.0.0.2:8848"] });
 * const orders = new Balancer({ name: "orders", discovery: registry });
 */
import { systemClock } from "../core/clock.ts";
import type { Discovery, Registry } from "../core/contracts.ts";
import { NacosLogin } from "./nacos/login.ts";
import { type NacosOptions, resolveNacosOptions } from "./nacos/options.ts";
import { NacosSource } from "./nacos/source.ts";
import { createTransport } from "./nacos/transport.ts";

export type { NacosAuthOptions, NacosOptions } from "./nacos/options.ts";
export type { TlsOptions as NacosTlsOptions } from "./tls-options.ts";

/**
 * Watches services in Nacos, which pushes each change over gRPC, and registers instances that live as long as the
 * connection. Needs `@grpc/grpc-js`, which is loaded on first use.
 *
 * One object serves many services over one connection, to one server at a time. A lost connection changes no set: it is
 * reported, another one is made, and everything is subscribed and registered again.
 *
 * @throws TypeError or RangeError for an option that cannot be meant.
 */
export function nacos(options: NacosOptions = {}): Discovery & Registry {
  const resolved = resolveNacosOptions(options);
  return new NacosSource(resolved, {
    login: new NacosLogin(resolved, systemClock),
    clock: systemClock,
    random: Math.random,
    transport: () => createTransport(resolved.tls),
  });
}
