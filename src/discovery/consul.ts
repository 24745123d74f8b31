/**
 * Discovery from Consul, and registration with it: the entry of `evenkeel/consul`.
 *
 * @example
 * const registry = consul({ address: "http://127.0.0.1:8500" });
 * const orders = new Balancer({ name: "orders", discovery: registry });
 * const users = new Balancer({ name: "users", discovery: registry });
 */
import { systemClock } from "../core/clock.ts";
import type { Discovery, Registry } from "../core/contracts.ts";
import { type ConsulOptions, resolveConsulOptions } from "./consul/options.ts";
import { ConsulSource } from "./consul/source.ts";

export type { ConsulOptions, ConsulToken } from "./consul/options.ts";
export type { TlsOptions as ConsulTlsOptions } from "./tls-options.ts";

/**
 * Watches services in Consul by blocking queries, and registers instances with a TTL check.
 *
 * One object serves many services, over one pool of connections. Errors change no set: they are reported, and the
 * query goes on after a pause. A registration is kept up until it is disposed of, whatever the agent forgets.
 *
 * @throws TypeError or RangeError for an option that cannot be meant.
 */
export function consul(options: ConsulOptions = {}): Discovery & Registry {
  return new ConsulSource(resolveConsulOptions(options), { clock: systemClock, random: Math.random });
}
