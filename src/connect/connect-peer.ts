/**
 * The package @connectrpc/connect, imported with the first call, so that the subpath loads without it.
 *
 * Only its class of errors is used, which everybody who makes calls has loaded by then: Connect's own transports pass
 * on what is a ConnectError, and make a guess of anything else.
 */
import type { ConnectError } from "@connectrpc/connect";
import { errorCode } from "../core/errors.ts";

type ConnectPeer = typeof import("@connectrpc/connect");

const name = "@connectrpc/connect";
let peer: ConnectPeer | undefined;

export function isConnectLoaded(): boolean {
  return peer !== undefined;
}

/** @throws Error that says what to install, if the package is not there. */
export async function loadConnect(): Promise<void> {
  try {
    peer ??= await import("@connectrpc/connect");
  } catch (error) {
    const isMissing = errorCode(error) === "ERR_MODULE_NOT_FOUND" && String(error).includes(`'${name}'`);
    if (!isMissing) throw error;
    throw new Error(`install ${name} to use evenkeel/connect`, { cause: error });
  }
}

function loaded(): ConnectPeer {
  if (peer === undefined) throw new Error(`${name} is used before it was loaded`);
  return peer;
}

export function connectError(message: string, code: number, cause: unknown): ConnectError {
  return new (loaded().ConnectError)(message, code, undefined, undefined, cause);
}

/** What it is already, or one of this code. */
export function asConnectError(reason: unknown, code: number): ConnectError {
  return loaded().ConnectError.from(reason, code);
}

export function isConnectError(error: unknown): error is ConnectError {
  return error instanceof loaded().ConnectError;
}
