/** How a server is told what is left of a call's time, by the option `deadlineHeader`, and which headers can say it. */
import { Metadata } from "@grpc/grpc-js";
import { deadlineHeaderValue, parseDeadlineHeader } from "../resilience/deadline-header.ts";

/** Where grpc-js writes what is left of the deadline that a call was given. */
const grpcTimeout = "grpc-timeout";

/**
 * As over other transports: grpc-js itself tells of a given deadline only, and by its own header only.
 *
 * @param metadata of one attempt, with what grpc-js has written.
 * @param ownMs what is left of the time that the service gives its calls; `Infinity` for none.
 */
export function tellDeadline(metadata: Metadata, name: string, ownMs: number): void {
  const [written] = metadata.get(grpcTimeout);
  const givenMs = written === undefined ? undefined : parseDeadlineHeader(grpcTimeout, String(written));
  const leftMs = Math.min(ownMs, givenMs ?? Number.POSITIVE_INFINITY);
  const isTold = name === grpcTimeout && leftMs === givenMs;
  if (isTold || leftMs === Number.POSITIVE_INFINITY) return;
  metadata.set(name, deadlineHeaderValue(name, leftMs));
}

/** @throws TypeError for what can be a header over HTTP, and no key of metadata with a text: grpc-js would call for ever. */
export function checkDeadlineHeader(name: string | undefined): void {
  if (name === undefined) return;
  try {
    new Metadata().set(name, "1");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new TypeError(`deadlineHeader is of no use to grpcBalancer: ${reason}`, { cause: error });
  }
}
