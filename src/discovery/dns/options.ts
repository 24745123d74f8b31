/** The options of `dns()`, and the complete object that they are resolved to. */
import { isIP } from "node:net";
import { longestTimerMs, OptionReader, show } from "../../core/option-reader.ts";

export type RecordType = "A" | "AAAA" | "SRV";

export interface DnsOptions {
  /**
   * The full name to ask for: `orders.internal`, or `_http._tcp.orders.internal` for SRV. Default: the service's name.
   * An object without it serves many services.
   */
  readonly name?: string | undefined;
  /** For A and AAAA, which tell none. Default: that of the cluster's `scheme`, 80 or 443. SRV records have their own. */
  readonly port?: number | undefined;
  /** Default `"A"`. For both families, `merge(dns({ type: "A" }), dns({ type: "AAAA" }))`. */
  readonly type?: RecordType | undefined;
  /**
   * Name servers: `"10.0.0.2"`, `"10.0.0.2:53"`, `"[2001:db8::1]:53"`; the next one is asked when one fails. Default:
   * those of the system (/etc/resolv.conf), read again after each failure.
   */
  readonly servers?: readonly string[] | undefined;
  /** How long the first try of a question waits for an answer. Default 2,000 (that of c-ares); further tries wait longer. */
  readonly timeoutMs?: number | undefined;
  /** How often each server is asked before the question has failed, from 1 to 5. Default 2: one lost datagram is made good. */
  readonly tries?: number | undefined;
  /**
   * The shortest time between two questions. Default 1,000: registries that speak DNS (Consul) answer with a time to
   * live of 0, and what has gone should not be called for much longer. SRV records, whose time to live Node.js does not
   * tell, are asked for this often, by default every 5,000; their targets' addresses as those' time to live says.
   */
  readonly minRefreshMs?: number | undefined;
  /**
   * The longest time between two questions, whatever the time to live. Default 30,000: asking a cache costs nothing, and
   * records that live for a day do change.
   */
  readonly maxRefreshMs?: number | undefined;
  /**
   * After how many answers in a row that the name does not exist, or has no such record, the set is empty; from 1.
   * Default: never, since a zone that is reloaded or a cache that is poisoned by an outage says just that. The cluster
   * then still has its own doubts: it also needs `allowEmpty`.
   */
  readonly clearAfter?: number | undefined;
  /**
   * Whether SRV targets are resolved to their addresses (A, or else AAAA), each an endpoint. Default true: one instance
   * is one node then, and connecting asks no name server. False leaves names: for certificates that are issued to them.
   */
  readonly resolveTargets?: boolean | undefined;
}

export interface ResolvedDnsOptions {
  readonly name: string | undefined;
  readonly port: number | undefined;
  readonly type: RecordType;
  /** Undefined: the system's. */
  readonly servers: readonly string[] | undefined;
  readonly timeoutMs: number;
  readonly tries: number;
  readonly minRefreshMs: number;
  readonly maxRefreshMs: number;
  /** Infinity: never. */
  readonly clearAfter: number;
  readonly resolveTargets: boolean;
}

/** RFC 1035: 255 octets on the wire, which are 253 characters. */
const longestName = 253;

export function resolveDnsOptions(given: DnsOptions): ResolvedDnsOptions {
  const options = new OptionReader(given, "dns");
  const type = options.word("type", ["A", "AAAA", "SRV"], "A");
  const name = options.string("name");
  if (name !== undefined) checkName(name, "dns.name");
  const isSrv = type === "SRV";
  const port = options.value("port");
  if (isSrv && port !== undefined) {
    throw new TypeError(`dns.port is told by SRV records themselves, got ${show(port)}`);
  }
  const resolveTargets = options.value("resolveTargets");
  if (!isSrv && resolveTargets !== undefined) {
    throw new TypeError(`dns.resolveTargets is for type "SRV" only, got ${show(resolveTargets)}`);
  }
  const minRefreshMs = options.number("minRefreshMs", {
    default: isSrv ? 5_000 : 1_000,
    min: 100,
    max: longestTimerMs,
  });
  const resolved: ResolvedDnsOptions = {
    name,
    port:
      port === undefined
        ? undefined
        : options.number("port", { default: 0, min: 1, max: 65_535, integer: true }),
    type,
    servers: readServers(options.value("servers")),
    timeoutMs: options.number("timeoutMs", { default: 2_000, min: 1, max: 60_000, integer: true }),
    tries: options.number("tries", { default: 2, min: 1, max: 5, integer: true }),
    minRefreshMs,
    maxRefreshMs: options.number("maxRefreshMs", {
      default: Math.max(30_000, minRefreshMs),
      min: minRefreshMs,
      max: longestTimerMs,
    }),
    clearAfter: options.number("clearAfter", {
      default: Number.POSITIVE_INFINITY,
      min: 1,
      max: Number.POSITIVE_INFINITY,
    }),
    resolveTargets: options.boolean("resolveTargets", true),
  };
  options.end();
  return resolved;
}

/** @throws RangeError for what no DNS server can be asked for. */
export function checkName(name: string, path: string): void {
  const labels = name.replace(/\.$/, "").split(".");
  const isName =
    name.length <= longestName + 1 && labels.every((label) => label.length >= 1 && label.length <= 63);
  if (!isName || /[\s:/@]/.test(name)) {
    throw new RangeError(`${path} must be a full DNS name without scheme or port, got ${show(name)}`);
  }
}

function readServers(given: unknown): readonly string[] | undefined {
  if (given === undefined) return undefined;
  if (!Array.isArray(given) || given.length === 0) {
    throw new TypeError(`dns.servers must be an array of at least one address, got ${show(given)}`);
  }
  return given.map((server, index) => {
    if (typeof server === "string" && isServer(server)) return server;
    throw new RangeError(
      `dns.servers[${index}] must be an IP address, with a port if it is not 53, got ${show(server)}`,
    );
  });
}

function isServer(text: string): boolean {
  if (isIP(text) !== 0) return true;
  const match = /^(?:\[(?<v6>[^\]]+)\]|(?<v4>[^:]+))(?::(?<port>\d{1,5}))?$/.exec(text);
  const { v4, v6, port = "53" } = match?.groups ?? {};
  return (isIP(v4 ?? "") === 4 || isIP(v6 ?? "") === 6) && Number(port) >= 1 && Number(port) <= 65_535;
}
