/**
 * A node that sends its callers away when it is told to, with a GOAWAY in the midst of what is in flight: the older half
 * it answers, the newer half it has not taken and never does.
 */
import {
  constants,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { answerWell, type RawPeer, startRawPeer } from "./raw-peer.ts";

export class LeavingNode {
  readonly #peer: RawPeer;
  readonly #inflight: Set<ServerHttp2Stream>;
  readonly #left: WeakSet<ServerHttp2Session>;
  /** GOAWAYs, and the calls that were in flight then: those that were to finish, and those that were not taken. */
  goAways = 0;
  finishing = 0;
  refused = 0;

  private constructor(peer: RawPeer, inflight: Set<ServerHttp2Stream>, left: WeakSet<ServerHttp2Session>) {
    this.#peer = peer;
    this.#inflight = inflight;
    this.#left = left;
  }

  /**
   * @param idleMs see `startRawPeer`.
   * @param worked told of each call that it answers, with its metadata.
   */
  static async start(
    workMs: number,
    idleMs: number,
    worked: (headers: IncomingHttpHeaders) => void,
  ): Promise<LeavingNode> {
    const inflight = new Set<ServerHttp2Stream>();
    const left = new WeakSet<ServerHttp2Session>();
    const peer = await startRawPeer((stream, headers) => {
      // It came while the GOAWAY was on its way out, and is refused with it.
      if (stream.session === undefined || left.has(stream.session as ServerHttp2Session)) return;
      inflight.add(stream);
      setTimeout(() => {
        if (!inflight.delete(stream) || stream.destroyed) return;
        worked(headers);
        answerWell(stream);
      }, workMs);
    }, idleMs);
    return new LeavingNode(peer, inflight, left);
  }

  get address(): string {
    return this.#peer.address;
  }

  /** Connections that there have been. */
  get connections(): number {
    return this.#peer.connections;
  }

  leave(): void {
    for (const session of this.#peer.sessions) {
      if (this.#left.has(session)) continue;
      this.#left.add(session);
      const streams = [...this.#inflight].filter((stream) => stream.session === session);
      const taken = streams.splice(0, Math.ceil(streams.length / 2));
      const last = taken.at(-1)?.id ?? session.state.lastProcStreamID ?? 0;
      for (const stream of streams) this.#inflight.delete(stream);
      // The client ends the connection when the last answer is there; `close()` would send a further GOAWAY, of its own.
      session.goaway(constants.NGHTTP2_NO_ERROR, last);
      this.goAways++;
      this.finishing += taken.length;
      this.refused += streams.length;
    }
  }
}
