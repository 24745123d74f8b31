/**
 * The interceptor that lets unary calls be sent again: Connect's transports hold their messages, session managers do not.
 *
 * Of a stream it tells the session manager when nobody waits for it any more, which transports do not; and the caller, when
 * the node has not processed it, so that it may be sent again.
 */
import type { Interceptor } from "@connectrpc/connect";
import { Code } from "./code.ts";
import { connectError, isConnectLoaded, loadConnect } from "./connect-peer.ts";
import { attemptHeader, type ConnectService, type FollowedStream } from "./connect-service.ts";
import { RpcCall } from "./rpc-call.ts";

export function createInterceptor(service: ConnectService): Interceptor {
  return (next) => async (request) => {
    if (!isConnectLoaded()) await loadConnect();
    if (!request.stream) return await RpcCall.run(service, next, request);
    const stream: FollowedStream = { signal: request.signal, unprocessedFor: undefined };
    const key = service.announce(stream);
    const header = new Headers(request.header);
    header.set(attemptHeader, key);
    try {
      return await next({ ...request, header });
    } catch (error) {
      const { unprocessedFor } = stream;
      if (unprocessedFor === undefined) throw error;
      // As gRPC has it for a stream that was refused; transports take it for Internal.
      throw connectError(`${unprocessedFor.message}, unprocessed`, Code.Unavailable, error);
    } finally {
      service.withdraw(key);
    }
  };
}
