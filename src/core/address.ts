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
/** `sun_path` of Linux has 108 bytes, the last of which is 0. Others have fewer. */
const longestSocketPath = 107;

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
  if (input.includes("@")) {
    // Only what follows them is shown: messages go to logs.
    const host = quote(input.slice(input.lastIndexOf("@") + 1));
    throw new RangeError(`the address of ${host} carries credentials, which are not used`);
  }
  const hasScheme = /^[a-z][a-z\d+.-]*:\/\//i.test(input);
  const url = parseUrl(hasScheme ? input : `${defaultScheme}://${input}`, input);
  const scheme = url.protocol.slice(0, -1);
  if (scheme !== "http" && scheme !== "https") {
    throw new RangeError(`address ${quote(input)} has scheme "${scheme}", expected http, https or unix`);
  }
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    throw new RangeError(
      `address ${quote(input)} has a path or query; an instance is only scheme, host and port`,
    );
  }
  const port = url.port === "" ? (scheme === "https" ? 443 : 80) : Number(url.port);
  if (port === 0) throw new RangeError(`address ${quote(input)} has port 0`);
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

/** gRPC's own schemes are those of HTTP/2 by another name: `grpc://` is `http://`, `grpcs://` is `https://`. */
export function withoutGrpcScheme(address: string): string {
  return address.replace(/^grpc(s?):\/\//i, "http$1://");
}

function parseUrl(text: string, input: string): URL {
  // The URL parser drops these silently; in an address they can only be a mistake.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
  if (/[\u0000-\u0020\\]/.test(text))
    throw new RangeError(`address ${quote(input)} has white space, a control character or a backslash`);
  try {
    // It also skips further slashes: the path "/run" would become the host "run".
    if (!/:\/\/\//.test(text)) return new URL(text);
  } catch {
    // Said below.
  }
  throw new RangeError(`address ${quote(input)} is not scheme://host:port`);
}

function parseSocketPath(input: string): Address {
  const path = input.slice("unix:".length).replace(/^\/\/(?=\/)/, "");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
  if (!path.startsWith("/") || /[\u0000-\u001f\u007f]/.test(path)) {
    throw new RangeError(`address ${quote(input)} must name an absolute path: unix:/run/service.sock`);
  }
  const segments = path.split("/").filter((segment) => segment !== "" && segment !== ".");
  // Behind a link ".." leads elsewhere than the text says; without it, one path is one text.
  if (segments.length === 0 || segments.includes("..") || /\/\.?$/.test(path)) {
    throw new RangeError(`address ${quote(input)} must name a socket, without ".."`);
  }
  const socketPath = `/${segments.join("/")}`;
  if (Buffer.byteLength(socketPath) > longestSocketPath) {
    throw new RangeError(
      `address ${quote(input)} has a path of more than ${longestSocketPath} bytes, which no socket can have`,
    );
  }
  return { text: `unix:${socketPath}`, scheme: "unix", hostname: "", port: 0, socketPath };
}

/** An address inside a message: line breaks and the like are escaped, as it may come from anybody. */
function quote(input: string): string {
  return JSON.stringify(input);
}

/** `[::ffff:a00:1]` is 10.0.0.1 reached through an IPv6 socket: the same instance. */
function mappedIPv4(hostname: string): string | undefined {
  const match = /^\[::ffff:([\da-f]{1,4}):([\da-f]{1,4})\]$/.exec(hostname);
  if (match === null) return undefined;
  const high = Number.parseInt(match[1] as string, 16);
  const low = Number.parseInt(match[2] as string, 16);
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}
