/** What HTTP/2 error codes (RFC 9113, section 7) say beyond "it failed". */

/** The peer has not worked on the stream. */
const refusedStream = 7;
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

/** Whether the peer refused one stream (REFUSED_STREAM). */
export function isStreamRefused(error: Error): boolean {
  return (error as { readonly http2ErrorCode?: unknown }).http2ErrorCode === refusedStream;
}

/** What undici ends a request with that a GOAWAY left out, and that it cannot send again itself. */
export function isGoAway(error: Error): boolean {
  return /^HTTP\/2: "GOAWAY" frame received/.test(error.message);
}
