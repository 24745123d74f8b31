/** The option `tls` of sources that connect to a registry: read, and tried out, so that a bad file shows at the start. */
import { createSecureContext } from "node:tls";
import { type OptionReader, show } from "../core/option-reader.ts";

export interface TlsOptions {
  /** The certificate authorities to trust, PEM. Default: those of Node.js. */
  readonly ca?: string | Buffer | undefined;
  /** The client's own certificate, PEM, for servers that ask for one. Goes with `key`. Default: none. */
  readonly cert?: string | Buffer | undefined;
  /** The key of `cert`, PEM and not encrypted. Default: none. */
  readonly key?: string | Buffer | undefined;
  /** The name that the server's certificate must carry. Default: the host that is connected to. */
  readonly servername?: string | undefined;
}

/** @throws TypeError or RangeError for what no connection could be made with. Says nothing of what a key holds. */
export function readTls(reader: OptionReader): TlsOptions {
  const pem = (name: "ca" | "cert" | "key"): string | Buffer | undefined => {
    const given = reader.value(name);
    if (given === undefined || typeof given === "string" || Buffer.isBuffer(given)) return given;
    throw new TypeError(`tls.${name} must be PEM as a string or Buffer, got ${show(given)}`);
  };
  const [ca, cert, key] = [pem("ca"), pem("cert"), pem("key")];
  const servername = reader.string("servername");
  reader.end();
  if ((cert === undefined) !== (key === undefined)) {
    throw new TypeError(
      `tls must have cert and key or neither, got only ${cert === undefined ? "key" : "cert"}`,
    );
  }
  try {
    createSecureContext({ ca, cert, key });
  } catch (error) {
    throw new RangeError(`tls cannot be used: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  return { ca, cert, key, servername };
}
