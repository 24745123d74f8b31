/**
 * Finds out whether a member can be reached at all, over a connection that can be given up.
 *
 * grpc-js cannot give one up: where packets are dropped, its socket waits for the two minutes that the system tries,
 * and keeps the process alive for as long, whatever becomes of the channel.
 */
import { connect } from "node:net";

/**
 * Resolves when the member takes a connection, which is closed again.
 *
 * @param member `host:port`, IPv6 in brackets.
 * @throws Error when it does not within `limitMs`, or when the signal is aborted.
 */
export function reach(member: string, limitMs: number, signal: AbortSignal): Promise<void> {
  const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(member) ?? [];
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port), signal });
    socket.setTimeout(limitMs, () => socket.destroy(new Error(`not connected within ${limitMs} ms`)));
    socket.once("connect", () => {
      socket.destroy();
      resolve();
    });
    socket.on("error", reject);
  });
}
