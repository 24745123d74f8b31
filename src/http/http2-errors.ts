/** What HTTP/2 error codes (RFC 9113, section 7) say beyond "it failed". */

/** The peer says that this caller sends too much. */
const enhanceYourCalm = 11;

/** The code of a reset stream, or of the GOAWAY that ended a session; undefined for any other error. */
export function http2CodeOf(error: Error): number | undefined {
  const { http2ErrorCode } = error as { readonly http2ErrorCode?: unknown };
  if (typeof http2ErrorCode === "number") return http2ErrorCode;
  // undici and Node.js tell the code of a GOAWAY in the text only.
  const match = /(?:"GOAWAY" frame received with|Session closed with error) code (\d+)/.exec(error.message);
  return match === null ? undefined : Number(match[1]);
}

/** Whether the peer demanded that no more be sent for a while. */
export function isCalmDemanded(error: Error): boolean {
  return http2CodeOf(error) === enhanceYourCalm;
}
