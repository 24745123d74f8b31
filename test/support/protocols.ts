/** The protocols over which a fault is injected: `test.for(protocols)` runs a test over each of them. */
import type { BalancerOptions } from "../../src/index.ts";
import type { BackendProtocol } from "../../src/testing/backend.ts";

export interface Protocol {
  /** For the names of tests and the figures. */
  readonly name: string;
  /** What the backends speak. */
  readonly speaks: BackendProtocol;
  /** What the balancer must be told for it to speak the same. */
  readonly connections: NonNullable<BalancerOptions["connections"]>;
}

export const http1: Protocol = { name: "HTTP/1.1", speaks: "http1", connections: {} };

export const h2: Protocol = { name: "HTTP/2 over TLS", speaks: "h2", connections: {} };
export const h2c: Protocol = { name: "h2c", speaks: "h2c", connections: { http2: "prior-knowledge" } };

/** A row here, and every test that is run for each of them is run over it. */
export const protocols: readonly Protocol[] = [
  http1,
  { name: "HTTP/1.1 over TLS", speaks: "https1", connections: {} },
  h2,
  h2c,
];

export function isEncrypted({ speaks }: Protocol): boolean {
  return speaks !== "http1" && speaks !== "h2c";
}

/** Whether many calls share a connection. */
export function isMultiplexed({ speaks }: Protocol): boolean {
  return speaks === "h2" || speaks === "h2c";
}

/** By its name: what a test hands to a program in another process. */
export function protocolNamed(name: string | undefined): Protocol {
  const protocol = protocols.find((each) => each.name === name);
  if (protocol === undefined) throw new Error(`no protocol is called ${name}`);
  return protocol;
}
