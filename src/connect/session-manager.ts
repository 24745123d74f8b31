/**
 * What Connect's HTTP/2 transports take for their connection: each request goes to a node of its own choice.
 *
 * A unary request that the interceptor has prepared belongs to an attempt that has its node already. Any other is a call
 * of its own here, which sees a stream and no messages.
 */
import type { ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import type { GrpcTransportOptions } from "@connectrpc/connect-node";
import { Code } from "./code.ts";
import { connectError, isConnectLoaded, loadConnect } from "./connect-peer.ts";
import { attemptHeader, type ConnectService, type FollowedStream } from "./connect-service.ts";
import { RpcAttempt } from "./rpc-attempt.ts";
import { StreamCall } from "./stream-call.ts";

/** Connect does not export the type by its name. */
export type SessionManager = NonNullable<GrpcTransportOptions["sessionManager"]>;

export class BalancedSessions implements SessionManager {
  /** The origin of the balancer's `baseUrl`, which transports hold their own against. */
  authority: string;
  readonly #service: ConnectService;

  constructor(service: ConnectService, authority: string) {
    this.#service = service;
    this.authority = authority;
  }

  async request(method: string, path: string, headers: OutgoingHttpHeaders): Promise<ClientHttp2Stream> {
    const { [attemptHeader]: key, ...others } = headers;
    const sent: OutgoingHttpHeaders = { ...others, ":method": method, ":path": path };
    let followed: FollowedStream | undefined;
    if (this.#service.isOwn(key)) {
      const announced = this.#service.claim(key);
      // Its time ran out, or a faster one was answered, while other interceptors held it up.
      if (announced === undefined) throw connectError("the attempt is over", Code.Canceled, undefined);
      if (announced instanceof RpcAttempt) return await announced.open(sent);
      followed = announced;
    }
    if (!isConnectLoaded()) await loadConnect();
    this.#service.assertOpen();
    return await StreamCall.run(this.#service, method, path, sent, followed);
  }

  /** Signs of life are read from the connection itself. */
  notifyResponseByteRead(): void {}
}
