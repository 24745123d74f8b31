/**
 * What OpenTelemetry's HTTP conventions call the parts of an attempt (semantic conventions 1.29 and later, "HTTP
 * client", stable).
 *
 * `server.address` is the host of the URL that was called, which is the service's name: so it is in the conventions,
 * so service maps show the service and not each of its pods, and so it does not change with a deploy. The node that
 * took the attempt is `network.peer.address`.
 */
import { type Address, parseAddress } from "../core/address.ts";
import { reasonIndex, reasons } from "./rows.ts";

/** RFC 9110 and PATCH of RFC 5789: the conventions' list. Methods are case-sensitive. */
const knownMethods: ReadonlySet<string> = new Set([
  "CONNECT",
  "DELETE",
  "GET",
  "HEAD",
  "OPTIONS",
  "PATCH",
  "POST",
  "PUT",
  "TRACE",
]);

/** As the conventions have it for methods that they do not know. */
export const otherMethod = "_OTHER";

export function methodOf(method: string): string {
  return knownMethods.has(method) ? method : otherMethod;
}

interface Ended {
  readonly outcome: "success" | "failure" | "ignored";
  readonly reason: string;
  readonly statusCode: number | undefined;
}

/**
 * `error.type`: the status from 400 on, else the reason of an attempt that did not end well; undefined when all is
 * well.
 */
export function errorTypeOf({ outcome, reason, statusCode }: Ended): string | undefined {
  if (reason !== "ok" && reason !== "status" && reason !== "dependency" && reason !== "overloaded")
    return reasons[reasonIndex(reason, outcome)]?.[0];
  if (statusCode !== undefined && (statusCode >= 400 || outcome !== "success")) return String(statusCode);
  return outcome === "success" ? undefined : reasons[reasonIndex(reason, outcome)]?.[0];
}

export interface Origin {
  readonly scheme: "http" | "https";
  readonly host: string;
  readonly port: number;
  /** `http://orders`. */
  readonly text: string;
}

/** The origin of a service's URLs: its name may have a port (`users:8443`). */
export function originOf(service: string, scheme: "http" | "https"): Origin {
  const text = `${scheme}://${service}`;
  const url = URL.parse(text);
  const usual = scheme === "https" ? 443 : 80;
  if (url === null || url.hostname === "") return { scheme, host: service, port: usual, text };
  return { scheme, host: url.hostname, port: url.port === "" ? usual : Number(url.port), text };
}

/** A canonical address, as events have it. */
export function schemeOf(address: string): "http" | "https" {
  return address.startsWith("https:") ? "https" : "http";
}

/** Remembers what is worked out for each of a set of texts that is small at any time, whatever comes over the years. */
export class Memo<Value> {
  readonly #values: Map<string, Value> = new Map();
  readonly #create: (key: string) => Value;

  constructor(create: (key: string) => Value) {
    this.#create = create;
  }

  get(key: string): Value {
    let value = this.#values.get(key);
    if (value === undefined) {
      // A thousand nodes at a time are rare, and the rest is only work done twice.
      if (this.#values.size >= 1_000) this.#values.clear();
      value = this.#create(key);
      this.#values.set(key, value);
    }
    return value;
  }
}

/** The parts of nodes' addresses. */
export function createPeers(): Memo<Address> {
  return new Memo((address) => parseAddress(address));
}
