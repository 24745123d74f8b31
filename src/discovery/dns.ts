/**
 * `evenkeel/dns`: discovery from DNS records, asked for again as their time to live says.
 *
 * Node's own `lookup()` would do for one address, but it asks through the thread pool, where a name server that does
 * not answer blocks files and everything else, and it tells no time to live. So a resolver of our own is asked, off the
 * way of every call: a pick never waits for DNS.
 *
 * @example
 * import { dns } from "evenkeel/dns";
 * const orders = new Balancer({ name: "orders", discovery: dns({ name: "orders.internal", port: 8080 }) });
 * const users = new Balancer({ name: "users", discovery: dns({ name: "_http._tcp.users.internal", type: "SRV" }) });
 */
import { systemClock } from "../core/clock.ts";
import type { Discovery } from "../core/contracts.ts";
import { createLookup } from "./dns/lookup.ts";
import { type DnsOptions, resolveDnsOptions } from "./dns/options.ts";
import { DnsWatch } from "./dns/watch.ts";

export type { DnsOptions };

/**
 * Endpoints from A, AAAA or SRV records.
 *
 * - The name is taken in full, as a DNS server knows it: search domains and /etc/hosts are not looked at.
 * - It is asked for again when the records' time to live ends, within `minRefreshMs` and `maxRefreshMs`.
 * - An error keeps the set, and so does an answer that the name does not exist: see `clearAfter`.
 * - SRV records: the priority becomes the tier, the weight the weight, and each target is resolved to its addresses
 *   unless `resolveTargets` is false.
 *
 * @throws TypeError or RangeError for an option that cannot be meant.
 */
export function dns(options: DnsOptions = {}): Discovery {
  const resolved = resolveDnsOptions(options);
  return {
    watch: (context) =>
      new DnsWatch(resolved, {
        createLookup: () => createLookup(resolved, systemClock),
        clock: systemClock,
        random: Math.random,
      }).run(context),
  };
}
