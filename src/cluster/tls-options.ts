/** The option `tls`: what connections to nodes are encrypted with, and whom they trust. */
import type { OptionReader } from "../core/option-reader.ts";

export interface TlsOptions {
  /** Certificate authorities to trust, PEM. Default: Node's own. */
  readonly ca?: string | Buffer | readonly (string | Buffer)[] | undefined;
  /** Client certificate and its key, PEM. */
  readonly cert?: string | Buffer | undefined;
  readonly key?: string | Buffer | undefined;
  /**
   * The same in files. They are read at the start, and again when they change; connections made from then on use what
   * is new, and those that stand finish their calls and close.
   */
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** The name that the nodes' certificates must carry. Default: a node's own DNS name, else the service's name. */
  readonly servername?: string | undefined;
}

export function resolveTls(options: OptionReader): TlsOptions {
  const tls: TlsOptions = {
    ca: checkAuthorities(options.value("ca")),
    cert: checkPem(options.value("cert"), "tls.cert"),
    key: checkPem(options.value("key"), "tls.key"),
    caFile: options.string("caFile"),
    certFile: options.string("certFile"),
    keyFile: options.string("keyFile"),
    servername: options.string("servername"),
  };
  options.end();
  for (const field of ["ca", "cert", "key"] as const) {
    if (tls[field] === undefined || tls[`${field}File`] === undefined) continue;
    throw new TypeError(`tls.${field} and tls.${field}File are both given, and only one can hold`);
  }
  return tls;
}

function checkAuthorities(given: unknown): TlsOptions["ca"] {
  if (!Array.isArray(given)) return checkPem(given, "tls.ca");
  return given.map((one, index) => checkPem(one ?? null, `tls.ca[${index}]`) as string | Buffer);
}

/** PEM as text or bytes; what is in it is for the TLS library to judge. */
function checkPem(given: unknown, path: string): string | Buffer | undefined {
  if (given === undefined || (typeof given === "string" && given !== "") || Buffer.isBuffer(given))
    return given;
  // Not shown: it may be a private key in the wrong wrapping.
  throw new TypeError(`${path} must be PEM as a string or Buffer, got ${given === "" ? '""' : typeof given}`);
}
