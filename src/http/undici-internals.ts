/**
 * What undici's Client (8.12) does not offer and owning its connection needs: to take its socket at once, to stop it from
 * going on by itself, to let go of what waits in its queue, and to see its HTTP/2 session.
 *
 * It hangs on symbols that are found by their descriptions. Where a later undici has renamed one, callers do without: a
 * connection is then attached by its first request, and what a GOAWAY left in the queue waits until the session has
 * ended. `undici-internals.test.ts` fails first.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, constants } from "node:http2";
import type { Socket } from "node:net";
import type { Client } from "undici";

/** A request in a Client's queue. */
interface QueuedRequest {
  onResponseError(error: Error): void;
}

/**
 * Lets a Client connect before its first request.
 *
 * @param servername of its requests: a Client ends its connection when the next request has another one than the last.
 * @returns false where that cannot be done.
 */
export function connectNow(client: Client, servername: string | undefined): boolean {
  const connect = find(Object.getPrototypeOf(client), "connect");
  const name = find(client, "server name");
  if (connect === undefined || name === undefined) return false;
  const fields = client as unknown as Record<symbol, unknown>;
  if (servername !== undefined) fields[name] = servername;
  (fields[connect] as (done: () => void) => void).call(client, () => {});
  return true;
}

/**
 * Sees to answers that nobody waits for any more. undici destroys the stream of a request that is given up at once, and
 * when the node's answer comes all the same, Node.js makes another stream of it, which nobody listens to: the error that
 * ends the session would end the process.
 *
 * @param socket that a Client has taken over.
 */
export function dropStrayStreams(socket: Socket): void {
  const symbol = find(socket, "http2Session");
  if (symbol === undefined) return;
  const session = (socket as unknown as Record<symbol, ClientHttp2Session>)[symbol];
  session?.on("stream", (stray: ClientHttp2Stream) => {
    stray.on("error", () => {});
    stray.close(constants.NGHTTP2_CANCEL);
  });
}

/**
 * From here on the Client sends nothing more and connects to nothing: what waits in its queue, and what it puts back there
 * later, ends with `error`. What it has sent may still be answered. (To destroy it while answers come makes it throw.)
 *
 * @returns false where that cannot be done.
 */
export function freeze(client: Client, error: Error): boolean {
  const queue = find(client, "queue");
  const pendingIndex = find(client, "pending index");
  const resume = find(client, "resume");
  if (queue === undefined || pendingIndex === undefined || resume === undefined) return false;
  const fields = client as unknown as Record<symbol, unknown>;
  const flush = () => {
    const requests = fields[queue] as (QueuedRequest | null)[];
    // Those before this place have been sent.
    for (const request of requests.splice(fields[pendingIndex] as number)) request?.onResponseError(error);
  };
  fields[resume] = flush;
  flush();
  return true;
}

function find(holder: object, description: string): symbol | undefined {
  return Object.getOwnPropertySymbols(holder).find((symbol) => symbol.description === description);
}
