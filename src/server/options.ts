/** The options of `register()`, and the complete object that they are resolved to. */
import { type Clock, systemClock } from "../core/clock.ts";
import type { Registry } from "../core/contracts.ts";
import { checkEndpoint } from "../core/endpoint.ts";
import { longestTimerMs, OptionReader, show } from "../core/option-reader.ts";
import type { Random } from "../core/random.ts";
import { bracketed, checkAdvertised } from "./advertised.ts";
import type { RegisteredServer } from "./served.ts";

export interface RegisterOptions {
  /** Where it is announced: `etcd({ ... })` and the like, or several of them. */
  readonly registry: Registry | readonly Registry[];
  /** The service that it is an instance of, or several. */
  readonly service: string | readonly string[];
  /** Of node:http, node:https, node:http2, node:net, or anything with `address()`. It need not listen yet. */
  readonly server: RegisteredServer;
  /**
   * The whole address to be announced, `https://orders-1.internal:8443`. Default: made of the `scheme`, the `host` and
   * the port that the server is bound to.
   */
  readonly address?: string | undefined;
  /**
   * The host to be announced. Default: the one that the server is bound to; for one that is bound to all interfaces,
   * the first address that is not internal.
   */
  readonly host?: string | undefined;
  /** Default "https" for a server with TLS, else "http". */
  readonly scheme?: "http" | "https" | undefined;
  /** Its share of the calls, relative to the others; 0 gets none. Default: what the registry's format takes for usual. */
  readonly weight?: number | undefined;
  /** Where it runs, for callers that keep to their own zone. Default: none is told. */
  readonly zone?: string | undefined;
  /** Of the software that runs, for registries that have a field for it. Default: none is told. */
  readonly version?: string | undefined;
  /** Whatever else callers are to know of it. Anybody who may read the registry can: no secrets. Default: none. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  /** What `protect()` returned: its readiness ends before the server is taken out of any registry. Default: none. */
  readonly protection?: { drain(): void } | undefined;
  /** Asked every second once the server listens, until it says true; only then is the server announced. Default: none. */
  readonly check?: (() => boolean | Promise<boolean>) | undefined;
  /**
   * How long, when it stops, deregistering may take. Default 3,000: a registry answers within milliseconds or is down,
   * and its lease ends by itself.
   */
  readonly deregisterMs?: number | undefined;
  /**
   * How long the server still accepts calls after it was deregistered, while it sends clients away. Default 5,000: by
   * then callers that watch have heard, and most that ask now and then.
   */
  readonly drainMs?: number | undefined;
  /**
   * How long what is in flight may then take before it is cut off. Default 20,000: with the two above it is less than
   * the 30 s that Kubernetes gives.
   */
  readonly closeMs?: number | undefined;
  /** Time and chance, for tests. */
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
}

export interface ResolvedRegisterOptions {
  readonly registries: readonly Registry[];
  readonly services: readonly string[];
  readonly server: RegisteredServer;
  readonly address: string | undefined;
  readonly host: string | undefined;
  readonly scheme: "http" | "https" | undefined;
  readonly weight: number | undefined;
  readonly zone: string | undefined;
  readonly version: string | undefined;
  readonly metadata: Readonly<Record<string, unknown>> | undefined;
  readonly protection: { drain(): void } | undefined;
  readonly check: (() => boolean | Promise<boolean>) | undefined;
  readonly deregisterMs: number;
  readonly drainMs: number;
  readonly closeMs: number;
  readonly clock: Clock;
  readonly random: Random;
}

/** @throws TypeError or RangeError that names the option and the value it got. */
export function resolveRegisterOptions(given: RegisterOptions): ResolvedRegisterOptions {
  const options = new OptionReader(given, "register");
  const duration = (name: string, fallback: number): number =>
    options.number(name, { default: fallback, min: 0, max: longestTimerMs });
  const scheme = options.value("scheme");
  const server = options.object<RegisteredServer>("server", ["address"]);
  if (server === undefined) throw new TypeError("register.server must be given: the server to be announced");
  const resolved: ResolvedRegisterOptions = {
    registries: readSeveral<Registry>(options.value("registry"), "registry", isRegistry),
    services: readSeveral<string>(options.value("service"), "service", isName),
    server,
    address: options.string("address"),
    host: options.string("host"),
    scheme:
      scheme === undefined ? undefined : options.word<"http" | "https">("scheme", ["http", "https"], "http"),
    weight: options.value("weight") as number | undefined,
    zone: options.string("zone"),
    version: options.string("version"),
    metadata: options.value("metadata") as Readonly<Record<string, unknown>> | undefined,
    protection: options.object<{ drain(): void }>("protection", ["drain"]),
    check: options.function<() => boolean | Promise<boolean>>("check"),
    deregisterMs: duration("deregisterMs", 3_000),
    drainMs: duration("drainMs", 5_000),
    closeMs: duration("closeMs", 20_000),
    clock: options.object<Clock>("clock", ["now", "schedule"]) ?? systemClock,
    random: options.function<Random>("random") ?? Math.random,
  };
  options.end();
  const { address, host, weight, zone, metadata } = resolved;
  if (address !== undefined && host !== undefined) {
    throw new TypeError("register.address and register.host are both given, and only one can hold");
  }
  if (address !== undefined) checkAdvertised(address, "address");
  if (host !== undefined) checkAdvertised(bracketed(host), "host");
  // Refused here, where it is a mistake of the program's, and not by everybody who discovers it.
  checkEndpoint({ address: address ?? "127.0.0.1", weight, zone, metadata });
  return resolved;
}

function readSeveral<Item>(
  given: unknown,
  option: string,
  isItem: (value: unknown) => value is Item,
): readonly Item[] {
  const items: readonly unknown[] = Array.isArray(given) ? given : [given];
  if (items.length === 0) throw new TypeError(`register.${option} must name at least one`);
  return items.map((item, index) => {
    if (isItem(item)) return item;
    const at = Array.isArray(given) ? `${option}[${index}]` : option;
    const what = option === "registry" ? "an object with register()" : "a non-empty string";
    throw new TypeError(`register.${at} must be ${what}, got ${show(item)}`);
  });
}

function isRegistry(value: unknown): value is Registry {
  return (
    typeof value === "object" && value !== null && "register" in value && typeof value.register === "function"
  );
}

function isName(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}
