/** A backend's TLS material in the words of Node's servers. */
import type { SecureContextOptions, TlsOptions } from "node:tls";
import type { BackendTls } from "./behaviour.ts";

export function tlsOptions({ key, cert, clientCa }: BackendTls): TlsOptions & SecureContextOptions {
  if (clientCa === undefined) return { key, cert };
  return { key, cert, ca: clientCa, requestCert: true, rejectUnauthorized: true };
}
