/** DNS records as endpoints: pure functions, the same endpoints in the same order for the same records. */
import { isIPv6 } from "node:net";
import type { Endpoint } from "../../core/endpoint.ts";

/** An A or AAAA record. */
export interface AddressRecord {
  readonly address: string;
  /** In seconds. */
  readonly ttl: number;
}

/** An SRV record. */
export interface SrvRecord {
  /** The target: a host name; empty or "." for "there is no such service" (RFC 2782). */
  readonly name: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

/** The last tier that an endpoint may have. */
const lastTier = 127;
/**
 * RFC 2782: among records with weights, one of weight 0 has "a very small chance of being selected". In an endpoint, 0
 * would be none at all.
 */
const smallestWeight = 0.01;

/** Servers rotate their answers, so the records are brought in order: the same set is then the same snapshot. */
export function fromAddresses(
  records: readonly AddressRecord[],
  port: number | undefined,
): readonly Endpoint[] {
  const addresses = new Set(records.map(({ address }) => join(address, port)));
  return [...addresses].sort().map((address) => ({ address }));
}

/** The smallest time to live, in milliseconds; undefined for no records. */
export function ttlMsOf(records: readonly AddressRecord[]): number | undefined {
  return records.length === 0 ? undefined : Math.min(...records.map(({ ttl }) => ttl)) * 1_000;
}

/** Whether the answer says that there is decidedly no such service: one record with the root as its target. */
export function isRefusal(records: readonly SrvRecord[]): boolean {
  return records.length > 0 && records.every(({ name }) => name === "" || name === ".");
}

/**
 * SRV records as endpoints. The lowest priority present is tier 0, the next one tier 1, whatever their numbers are.
 *
 * @param addressesOf the addresses of a target; the target itself where it stays a name.
 */
export function fromServices(
  records: readonly SrvRecord[],
  addressesOf: (target: string) => readonly string[],
): readonly Endpoint[] {
  const priorities = [...new Set(records.map(({ priority }) => priority))].sort((a, b) => a - b);
  const hasWeights = new Set(records.filter(({ weight }) => weight > 0).map(({ priority }) => priority));
  const endpoints = new Map<string, Endpoint>();
  for (const record of [...records].sort(inOrder)) {
    const weight = hasWeights.has(record.priority) ? record.weight || smallestWeight : 1;
    const priority = Math.min(lastTier, priorities.indexOf(record.priority));
    for (const host of [...addressesOf(record.name)].sort()) {
      const address = join(host, record.port);
      // Two targets may share an address: the record that counts first has it.
      if (!endpoints.has(address)) endpoints.set(address, { address, weight, priority });
    }
  }
  return [...endpoints.values()];
}

function inOrder(a: SrvRecord, b: SrvRecord): number {
  return a.priority - b.priority || compare(a.name, b.name) || a.port - b.port || b.weight - a.weight;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function join(host: string, port: number | undefined): string {
  const name = isIPv6(host) ? `[${host}]` : host;
  return port === undefined ? name : `${name}:${port}`;
}
