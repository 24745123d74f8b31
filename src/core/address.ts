/**
 * One canonical form for every way to write an address, so that one instance is one node.
 *
 * `[::ffff:10.0.0.1]:80`, `HTTP://10.0.0.1/` and `10.0.0.1:80` are all `http://10.0.0.1`.
 */

/** The schemes an address may have. */
export type Scheme = "http" | "https" | "unix";

export interface Address {
  /** The canonical text; equal for two addresses exactly when they mean the same instance. */
  readonly text: string;
  readonly scheme: Scheme;
  /** Host name or IP, IPv6 without brackets; empty for `unix`. */
  readonly hostname: string;
  /** 1 to 65535; 0 for `unix`. */
  readonly port: number;
  /** The socket's absolute path; empty unless `unix`. */
  readonly socketPath: string;
}

/**
 * The longest address accepted. A DNS name has at most 253 characters and a Unix socket path 107; the rest is
 * scheme, port and brackets, with room to spare.
 */
const longestAddress = 512;

/**
 * Parses an address as people and registries write it: `http://host:port`, `https://...`, `host:port` (which
 * takes `defaultScheme`), `[v6]:port`, `unix:/path`.
 *
 * @throws RangeError that says what is wrong, for anything else.
 */
export function parseAddress(input: string, defaultScheme: "http" | "https" = "http"): Address {
  if (typeof input !== "string") throw new RangeError(`address must be a string, got ${typeof input}`);
  if (input.length > longestAddress) {
    throw new RangeError(`address has ${input.length} characters, at most ${longestAddress} are allowed`);
  }
  if (/^unix:/i.test(input)) return parseSocketPath(input);
  const hasScheme = /^[a-z][a-z\d+.-]*:\/\//i.test(input);
  const url = parseUrl(hasScheme ? input : `${defaultScheme}://${input}`, input);
  const scheme = url.protocol.slice(0, -1);
  if (scheme !== "http" && scheme !== "https") {
    throw new RangeError(`address "${input}" has scheme "${scheme}", expected http, https or unix`);
  }
  if (url.username !== "" || url.password !== "") {
    throw new RangeError(`the address of ${url.host} carries credentials, which are not used`);
  }
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    throw new RangeError(`address "${input}" has a path or query; an instance is only scheme, host and port`);
  }
  const port = url.port === "" ? (scheme === "https" ? 443 : 80) : Number(url.port);
  if (port === 0) throw new RangeError(`address "${input}" has port 0`);
  const mapped = mappedIPv4(url.hostname);
  const host = mapped ?? url.hostname;
  return {
    text: `${scheme}://${host}${url.port === "" ? "" : `:${url.port}`}`,
    scheme,
    hostname: host.startsWith("[") ? host.slice(1, -1) : host,
    port,
    socketPath: "",
  };
}

function parseUrl(text: string, input: string): URL {
  // The URL parser drops these silently; in an address they can only be a mistake.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
  if (/[\u0000-\u0020\\]/.test(text))
    throw new RangeError(`address "${input}" has white space or control characters`);
  try {
    return new URL(text);
  } catch {
    throw new RangeError(`address "${input}" is not scheme://host:port`);
  }
}

function parseSocketPath(input: string): Address {
  const path = input.slice("unix:".length).replace(/^\/\/(?=\/)/, "");
  if (!path.startsWith("/") || path.includes("\0")) {
    throw new RangeError(`address "${input}" must name an absolute path: unix:/run/service.sock`);
  }
  const socketPath = path.replace(/\/{2,}/g, "/");
  return { text: `unix:${socketPath}`, scheme: "unix", hostname: "", port: 0, socketPath };
}

/** `[::ffff:a00:1]` is 10.0.0.1 reached through an IPv6 socket: the same instance. */
function mappedIPv4(hostname: string): string | undefined {
  const match = /^\[::ffff:([\da-f]{1,4}):([\da-f]{1,4})\]$/.exec(hostname);
  if (match === null) return undefined;
  const high = Number.parseInt(match[1] as string, 16);
  const low = Number.parseInt(match[2] as string, 16);
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}
