/** The options of `consul()`: what they mean, their defaults, and the check of what a program gives. */
import type { Dispatcher } from "undici";
import { type Address, parseAddress } from "../../core/address.ts";
import { longestTimerMs, OptionReader, show } from "../../core/option-reader.ts";
import { readTls, type TlsOptions } from "../tls-options.ts";

/** A token, or what gives the present one. A function is asked before each request, so that tokens can be renewed. */
export type ConsulToken = string | (() => string | Promise<string>);

export interface ConsulOptions {
  /** The agent, or a server: `http://host:port`, `https://...`, `host:port`, `unix:/path`. Default `http://127.0.0.1:8500`: the agent of this machine. */
  readonly address?: string | undefined;
  /** The service's name in Consul. Default: the name of the balancer or cluster that asks. */
  readonly service?: string | undefined;
  /** Only instances that carry this tag, or all of these; registrations carry them. Default: any. */
  readonly tag?: string | readonly string[] | undefined;
  /** The datacenter to ask. Default: that of the agent. */
  readonly dc?: string | undefined;
  /** Consul Enterprise's namespace. Default: that of the token. */
  readonly namespace?: string | undefined;
  /** Consul Enterprise's admin partition. Default: that of the agent. */
  readonly partition?: string | undefined;
  /** An expression in Consul's filter language, applied by the server. Default: none. */
  readonly filter?: string | undefined;
  /**
   * Default true: an instance with any check that does not pass gets no calls. False also takes those that only
   * warn, with the weight that they have for it (`Weights.Warning`); critical ones are never taken.
   */
  readonly passingOnly?: boolean | undefined;
  /**
   * Lets any server answer, not just the leader: cheaper, and there is an answer while no leader is known, which then
   * never takes an instance away. Default false, as what another server knows may be old.
   */
  readonly stale?: boolean | undefined;
  /** Sent as X-Consul-Token. Default: none. */
  readonly token?: ConsulToken | undefined;
  /**
   * How services are written: `"consul"` (the default) has address and port; `"kratos"` is what Go services on Kratos
   * write and read, with full URLs as tagged addresses.
   */
  readonly format?: "consul" | "kratos" | undefined;
  /** Which of a Kratos instance's endpoints is meant, and what a registration writes: `"http"` (the default) or `"grpc"`. */
  readonly protocol?: "http" | "grpc" | undefined;
  /**
   * How long the server holds a query without a change, from 1,000 to 600,000. Default 60,000: a query a minute costs
   * nothing, and bounds what Consul does not wake a query for, such as a token that may not read the service any more.
   */
  readonly waitMs?: number | undefined;
  /**
   * After how long without a heartbeat a registered instance counts as dead, from 1,000 to 86,400,000. Default 15,000:
   * heartbeats come every 5 s, and two may be lost.
   */
  readonly ttlMs?: number | undefined;
  /**
   * How long a dead instance stays registered as critical, from 60,000, the least that Consul takes. Default 60,000:
   * the name of each process start is new, so nothing is to come back.
   */
  readonly deregisterAfterMs?: number | undefined;
  /** For an `https:` address. Default: trusts whom Node.js trusts, for the host of the address. */
  readonly tls?: TlsOptions | undefined;
  /** Sends the requests in place of a pool of its own, for proxies and tests; it is never closed. */
  readonly dispatcher?: Dispatcher | undefined;
}

/** All of it, with nothing left open. */
export interface ResolvedConsulOptions {
  readonly address: Address;
  readonly service: string | undefined;
  readonly tags: readonly string[];
  readonly dc: string | undefined;
  readonly namespace: string | undefined;
  readonly partition: string | undefined;
  readonly filter: string | undefined;
  readonly passingOnly: boolean;
  readonly stale: boolean;
  readonly token: ConsulToken | undefined;
  readonly format: "consul" | "kratos";
  readonly protocol: "http" | "grpc";
  readonly waitMs: number;
  readonly ttlMs: number;
  readonly deregisterAfterMs: number;
  readonly tls: TlsOptions;
  readonly dispatcher: Dispatcher | undefined;
}

/** @throws TypeError or RangeError that names the option and the value it got. */
export function resolveConsulOptions(given: ConsulOptions): ResolvedConsulOptions {
  const options = new OptionReader(given, "");
  const resolved: ResolvedConsulOptions = {
    address: readAddress(options.string("address")),
    service: options.string("service"),
    tags: readTags(options.value("tag")),
    dc: options.string("dc"),
    namespace: options.string("namespace"),
    partition: options.string("partition"),
    filter: options.string("filter"),
    passingOnly: options.boolean("passingOnly", true),
    stale: options.boolean("stale", false),
    token: readToken(options.value("token")),
    format: options.word("format", ["consul", "kratos"], "consul"),
    protocol: options.word("protocol", ["http", "grpc"], "http"),
    waitMs: options.number("waitMs", { default: 60_000, min: 1_000, max: 600_000 }),
    ttlMs: options.number("ttlMs", { default: 15_000, min: 1_000, max: 86_400_000 }),
    deregisterAfterMs: options.number("deregisterAfterMs", {
      default: 60_000,
      min: 60_000,
      max: longestTimerMs,
    }),
    tls: readTls(options.secrets("tls")),
    dispatcher: options.object<Dispatcher>("dispatcher", ["dispatch"]),
  };
  options.end();
  return resolved;
}

function readAddress(given = "http://127.0.0.1:8500"): Address {
  try {
    return parseAddress(given);
  } catch (error) {
    throw new RangeError(`address: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

function readTags(given: unknown): readonly string[] {
  const tags: readonly unknown[] = given === undefined ? [] : Array.isArray(given) ? given : [given];
  return tags.map((tag) => {
    if (typeof tag === "string" && tag !== "") return tag;
    throw new TypeError(`tag must be a non-empty string, or an array of them, got ${show(tag)}`);
  });
}

function readToken(given: unknown): ConsulToken | undefined {
  if (given === undefined || typeof given === "function") return given as ConsulToken | undefined;
  if (typeof given === "string" && given !== "") return given;
  throw new TypeError(`token must be a non-empty string or a function, got ${typeof given}`);
}
