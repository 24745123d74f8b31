/** The error codes of HTTP/2 (RFC 9113, section 7) that decide something here. */
import { failure, ignored, type Outcome } from "../core/outcome.ts";

export const noError = 0;
/** The peer has not worked on the stream. */
export const refusedStream = 7;
/** The stream is no longer wanted. */
export const cancel = 8;
/** The peer says that this caller sends too much: pings, as a rule. */
export const enhanceYourCalm = 11;

const names: readonly string[] = [
  "NO_ERROR",
  "PROTOCOL_ERROR",
  "INTERNAL_ERROR",
  "FLOW_CONTROL_ERROR",
  "SETTINGS_TIMEOUT",
  "STREAM_CLOSED",
  "FRAME_SIZE_ERROR",
  "REFUSED_STREAM",
  "CANCEL",
  "COMPRESSION_ERROR",
  "CONNECT_ERROR",
  "ENHANCE_YOUR_CALM",
  "INADEQUATE_SECURITY",
  "HTTP_1_1_REQUIRED",
];

/** What a GOAWAY with a code says of the node. Too many pings are our own doing. */
export function outcomeOfFarewell(code: number): Outcome {
  const detail = code === noError ? "GOAWAY" : `GOAWAY ${nameOf(code)}`;
  return code === noError || code === enhanceYourCalm ? ignored("closing", detail) : failure("reset", detail);
}

export function nameOf(code: number): string {
  return names[code] ?? `HTTP/2 error ${code}`;
}
