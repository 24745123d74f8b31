/** The endpoints of several sets together, each instance once. */
import { parseAddress } from "../../core/address.ts";
import type { Endpoint } from "../../core/endpoint.ts";

/** Of endpoints with one host and port the first counts, and sets that come first are first. */
export function union(sets: readonly (readonly Endpoint[])[]): readonly Endpoint[] {
  if (sets.length === 1) return sets[0] ?? [];
  const endpoints = new Map<unknown, Endpoint>();
  for (const set of sets) {
    for (const endpoint of set) {
      const key = instanceOf(endpoint);
      if (!endpoints.has(key)) endpoints.set(key, endpoint);
    }
  }
  return [...endpoints.values()];
}

/**
 * Whatever the scheme: sources write one instance with and without it. What is no endpoint is only the same as itself;
 * to refuse it is not for here.
 */
function instanceOf(endpoint: Endpoint | string): unknown {
  const text = typeof endpoint === "string" ? endpoint : endpoint?.address;
  try {
    const { scheme, hostname, port, socketPath } = parseAddress(text);
    return scheme === "unix" ? socketPath : `${hostname}:${port}`;
  } catch {
    return endpoint;
  }
}
