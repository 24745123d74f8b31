/** The options of `etcd()`, and their resolution. */
import { OptionReader, show } from "../../core/option-reader.ts";
import type { EtcdDecode, EtcdFormat, Protocol } from "./format.ts";
import { type EtcdFormatName, formatOf } from "./formats.ts";

export interface EtcdOptions {
  /** The members of the cluster, or some: `host:port` or http(s) URLs. One is used at a time, from a random one on. */
  readonly endpoints: string | readonly string[];
  /** The name under which the service stands in etcd. Default: the name of the balancer or instance. */
  readonly service?: string | undefined;
  /**
   * What stands in the keys before the service's name, with the slash at its end. Default: what the format has:
   * nothing (`"etcd"`, `"go-zero"`, functions), `/microservices/` (`"kratos"`), `kitex/registry-etcd/` (`"kitex"`).
   */
  readonly prefix?: string | undefined;
  /**
   * How instances are written. Default `"etcd"`: as etcd's own Go package does. A function reads entries under
   * `<prefix><service>/`; an object also says under which keys they are, and can write them.
   */
  readonly format?: EtcdFormatName | EtcdDecode | EtcdFormat | undefined;
  /** Of a Kratos instance, which endpoint to take, and as what to announce one's own. Default `"http"`. */
  readonly protocol?: Protocol | undefined;
  /** For a cluster with users. Tokens are renewed when they expire. */
  readonly auth?: { readonly username: string; readonly password: string } | undefined;
  /** PEM. Given, or with https endpoints, connections are encrypted. `ca` by default those of Node.js. */
  readonly tls?: EtcdTls | undefined;
  /**
   * How long a registered instance stays when nothing is heard of it, from 2,000, in whole seconds. Default 15,000: as
   * long as in Go's registries; it survives two lost renewals, sent every third of it, and a leader's election.
   */
  readonly ttlMs?: number | undefined;
  /** How long connecting to a member may take. Default 3,000: a SYN that was lost is sent again after 1 s. */
  readonly connectMs?: number | undefined;
  /** How long one call may take. Default 5,000: etcd gives up on a request of its own after that. */
  readonly requestMs?: number | undefined;
  /**
   * Ceiling of the pauses, drawn at random, between attempts to connect once all members have failed. Default 5,000: a
   * third of the default `ttlMs`, so that an instance is back before a lease ends that outlived the outage.
   */
  readonly backoffMaxMs?: number | undefined;
}

export interface EtcdTls {
  readonly ca?: string | Buffer | undefined;
  readonly cert?: string | Buffer | undefined;
  readonly key?: string | Buffer | undefined;
  /** The name in the members' certificates, where it is not the one they are addressed by. */
  readonly servername?: string | undefined;
}

export interface ResolvedEtcdOptions {
  /** `host:port` each, as a target of gRPC. */
  readonly members: readonly string[];
  readonly service: string | undefined;
  readonly format: EtcdFormat;
  readonly auth: { readonly username: string; readonly password: string } | undefined;
  readonly tls: ResolvedTls | undefined;
  readonly ttlSeconds: number;
  readonly connectMs: number;
  readonly requestMs: number;
  readonly backoffMaxMs: number;
}

export interface ResolvedTls {
  readonly ca: Buffer | null;
  readonly cert: Buffer | null;
  readonly key: Buffer | null;
  readonly servername: string | undefined;
}

const defaultPort = 2379;

/** @throws TypeError or RangeError that names the option and the value it got. */
export function resolveEtcdOptions(options: EtcdOptions): ResolvedEtcdOptions {
  const reader = new OptionReader(options, "etcd");
  const { members, isSecure } = membersOf(reader.value("endpoints"));
  const service = reader.string("service");
  const prefix = reader.string("prefix");
  const protocol = reader.word<Protocol>("protocol", ["http", "grpc"], "http");
  const format = formatOf(reader.value("format") ?? "etcd", { prefix, protocol });
  const auth = reader.value("auth") === undefined ? undefined : authOf(reader.secrets("auth"));
  const tls = isSecure || reader.value("tls") !== undefined ? tlsOf(reader.secrets("tls")) : undefined;
  const ttlMs = reader.number("ttlMs", { default: 15_000, min: 2_000, max: 86_400_000 });
  if (ttlMs % 1_000 !== 0) throw new RangeError(`etcd.ttlMs must be whole seconds, got ${ttlMs}`);
  const connectMs = reader.number("connectMs", { default: 3_000, min: 1, max: 600_000 });
  const requestMs = reader.number("requestMs", { default: 5_000, min: 1, max: 600_000 });
  const backoffMaxMs = reader.number("backoffMaxMs", { default: 5_000, min: 1, max: 3_600_000 });
  reader.end();
  return {
    members,
    service,
    format,
    auth,
    tls,
    ttlSeconds: ttlMs / 1_000,
    connectMs,
    requestMs,
    backoffMaxMs,
  };
}

function membersOf(value: unknown): { readonly members: readonly string[]; readonly isSecure: boolean } {
  const given: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (given.length === 0) throw new TypeError("etcd.endpoints must name at least one member, got none");
  const members: string[] = [];
  const schemes = new Set<string>();
  for (const endpoint of given) {
    const match =
      typeof endpoint === "string"
        ? /^(?:(https?):\/\/)?(\[[\da-f:.]+\]|[^\s:/@[\]]+)(?::(\d{1,5}))?\/?$/i.exec(endpoint)
        : null;
    const port = Number(match?.[3] ?? defaultPort);
    if (match === null || port < 1 || port > 65_535) {
      throw new RangeError(
        `etcd.endpoints must be host:port or http(s)://host:port each, got ${showPlace(endpoint)}`,
      );
    }
    if (match[1] !== undefined) schemes.add(match[1].toLowerCase());
    members.push(`${match[2]}:${port}`);
  }
  if (schemes.size > 1) throw new RangeError("etcd.endpoints must be all http or all https, got both");
  return { members, isSecure: schemes.has("https") };
}

/** Without the name and password that somebody may have put into it. */
function showPlace(endpoint: unknown): string {
  return typeof endpoint === "string" ? show(endpoint.slice(endpoint.lastIndexOf("@") + 1)) : show(endpoint);
}

function authOf(reader: OptionReader): { readonly username: string; readonly password: string } {
  const username = reader.string("username");
  const password = reader.string("password");
  reader.end();
  if (username === undefined || password === undefined) {
    throw new TypeError(
      `etcd.auth must have a username and a password, got no ${username ? "password" : "username"}`,
    );
  }
  return { username, password };
}

function tlsOf(reader: OptionReader): ResolvedTls {
  const pem = (name: string): Buffer | null => {
    const value = reader.value(name);
    if (value === undefined) return null;
    if (typeof value === "string" || Buffer.isBuffer(value)) return Buffer.from(value);
    throw new TypeError(
      `etcd.tls.${name} must be PEM as a string or Buffer, got a value of type ${typeof value}`,
    );
  };
  const tls = { ca: pem("ca"), cert: pem("cert"), key: pem("key"), servername: reader.string("servername") };
  reader.end();
  if ((tls.cert === null) !== (tls.key === null)) {
    throw new TypeError(
      `etcd.tls must have cert and key or neither, got only ${tls.cert === null ? "key" : "cert"}`,
    );
  }
  return tls;
}
