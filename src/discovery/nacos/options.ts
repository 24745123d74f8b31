/** The options of `nacos()`: what they mean, their defaults, and the check of what a program gives. */
import { parseAddress } from "../../core/address.ts";
import { OptionReader, show } from "../../core/option-reader.ts";
import { readTls, type TlsOptions } from "../tls-options.ts";

export interface NacosOptions {
  /**
   * The servers, `host:port` or URLs with the port of HTTP, as all of Nacos' own clients take them. One of them is used at
   * a time. Default `127.0.0.1:8848`.
   */
  readonly servers?: string | readonly string[] | undefined;
  /** The service's name in Nacos. Default: the name of the balancer or cluster that asks. */
  readonly service?: string | undefined;
  /** Default `DEFAULT_GROUP`, as Nacos' own. */
  readonly group?: string | undefined;
  /** The namespace's id. Default `public`, as Nacos' own. */
  readonly namespace?: string | undefined;
  /** Only instances of these clusters; registrations go to the first. Default: all, and `DEFAULT`. */
  readonly clusters?: string | readonly string[] | undefined;
  /** Logs in, and again before the token expires. Default: no login. */
  readonly auth?: NacosAuthOptions | undefined;
  /** The path that the server's HTTP API is under, which only logins need. Default `/nacos`, as Nacos' own. */
  readonly contextPath?: string | undefined;
  /** How much the port of gRPC lies above that of HTTP, from -65,535 to 65,535. Default 1,000, as Nacos' own. */
  readonly grpcPortOffset?: number | undefined;
  /**
   * For TLS, which gRPC and logins speak with a server that is given as an `https:` URL. Given, also as `{}`, gRPC speaks
   * it with all servers; false keeps gRPC to plain text, for servers that have TLS before their HTTP port alone. Default:
   * TLS for `https:`, trusting whom Node.js trusts.
   */
  readonly tls?: TlsOptions | false | undefined;
}

export interface NacosAuthOptions {
  /** A user of the server's own. */
  readonly username: string;
  /** Sent to log in only, in the body of a request, and never part of a message. */
  readonly password: string;
}

/** All of it, with nothing left open. */
export interface ResolvedNacosOptions {
  readonly servers: readonly NacosServer[];
  readonly service: string | undefined;
  readonly group: string;
  readonly namespace: string;
  readonly clusters: readonly string[];
  readonly auth: NacosAuthOptions | undefined;
  readonly contextPath: string;
  /** Of those connections that use TLS. */
  readonly tls: TlsOptions;
}

export interface NacosServer {
  /** `host:port` of HTTP: how servers name themselves and each other. */
  readonly name: string;
  /** `host:port` of gRPC. */
  readonly grpcAddress: string;
  /** For logins. */
  readonly origin: string;
  /** gRPC is spoken over TLS. */
  readonly isSecure: boolean;
}

/** Nacos' own default port. */
const defaultPort = 8848;

/** @throws TypeError or RangeError that names the option and the value it got. */
export function resolveNacosOptions(given: NacosOptions): ResolvedNacosOptions {
  const options = new OptionReader(given, "");
  const offset = options.number("grpcPortOffset", {
    default: 1_000,
    min: -65_535,
    max: 65_535,
    integer: true,
  });
  const contextPath = options.value("contextPath") ?? "/nacos";
  if (typeof contextPath !== "string" || !/^(?:\/[\w.~-]+)*\/?$/.test(contextPath)) {
    throw new TypeError(`contextPath must be a path such as "/nacos", got ${show(contextPath)}`);
  }
  const tls = options.value("tls");
  const resolved: ResolvedNacosOptions = {
    servers: textsOf(options.value("servers") ?? `127.0.0.1:${defaultPort}`, "servers").map((server) =>
      readServer(server, offset, tls),
    ),
    service: options.string("service"),
    group: options.string("group") ?? "DEFAULT_GROUP",
    namespace: options.string("namespace") ?? "public",
    clusters: textsOf(options.value("clusters") ?? [], "clusters"),
    auth: readAuth(options),
    contextPath: contextPath.replace(/\/$/, ""),
    tls: tls === false || tls === undefined ? {} : readTls(options.secrets("tls")),
  };
  options.end();
  if (resolved.servers.length === 0) throw new RangeError("servers must name at least one server");
  return resolved;
}

function readServer(given: string, offset: number, tls: unknown): NacosServer {
  // With a port that is not its scheme's, as the parser leaves those out.
  const hasPort = /:\d+\/?$/.test(given);
  let address: ReturnType<typeof parseAddress>;
  try {
    address = parseAddress(given);
  } catch (error) {
    throw new RangeError(`servers: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  const { hostname, scheme } = address;
  const port = hasPort ? address.port : defaultPort;
  const grpcPort = port + offset;
  if (scheme === "unix" || grpcPort < 1 || grpcPort > 65_535) {
    throw new RangeError(`servers: ${given} has no port for gRPC (port + ${offset})`);
  }
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return {
    name: `${host}:${port}`,
    grpcAddress: `${host}:${grpcPort}`,
    origin: `${scheme}://${host}:${port}`,
    isSecure: tls === undefined ? scheme === "https" : tls !== false,
  };
}

function textsOf(given: unknown, name: string): readonly string[] {
  const texts: readonly unknown[] = Array.isArray(given) ? given : [given];
  return texts.map((text) => {
    if (typeof text === "string" && text !== "") return text;
    throw new TypeError(`${name} must be a non-empty string, or an array of them, got ${show(text)}`);
  });
}

function readAuth(options: OptionReader): NacosAuthOptions | undefined {
  if (options.value("auth") === undefined) return undefined;
  const auth = options.secrets("auth");
  const username = auth.string("username");
  // What it is stays out of messages.
  const password = auth.value("password");
  auth.end();
  if (username === undefined || typeof password !== "string") {
    throw new TypeError("auth must have a username and a password, both strings");
  }
  return { username, password };
}
