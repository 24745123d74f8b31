/** Whether and how the body of a call is kept while it is sent, and what is known of it when an attempt has failed. */
import { Readable } from "node:stream";
import type { ConnectionRules } from "../cluster/connection-options.ts";
import type { Node } from "../core/node.ts";
import { ReplayBody, type ReplayMemory } from "./replay.ts";

/**
 * Whether a node may take in part of a body and then say that it has not processed the call. A dispatcher of the
 * program's own may read the body and say only then that the request never started; over HTTP/2 nodes refuse so.
 */
export function mayComeBack({ factory, http2 }: ConnectionRules, node: Node): boolean {
  if (factory !== undefined || http2 === "prior-knowledge") return true;
  return http2 === "auto" && node.endpoint.address.scheme === "https";
}

/**
 * What a body that can be read once is sent through; undefined where it goes out as it came.
 *
 * @param isKept it may have to be sent again.
 */
export function keepBody(body: object, isKept: boolean, memory: ReplayMemory): ReplayBody | undefined {
  // A stream that need not be kept goes out as it came: its `errored` tells whose fault an error is.
  const isStream = "pipe" in body;
  if (isStream && !(isKept && Symbol.asyncIterator in body)) return undefined;
  return new ReplayBody(body, memory, isKept);
}

/** Whether another attempt would send all of the body, as it was before the first one. */
export function isWhole(body: unknown, kept: ReplayBody | undefined): boolean {
  if (kept !== undefined) return kept.canRepeat;
  return !(body instanceof Readable) || !Readable.isDisturbed(body);
}

/** Whether the caller's own body failed. */
export function isErrorOf(body: unknown, kept: ReplayBody | undefined, error: Error): boolean {
  if (kept !== undefined) return kept.error !== undefined;
  return typeof body === "object" && body !== null && "errored" in body && body.errored === error;
}
