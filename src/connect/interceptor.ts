/**
 * The interceptor that lets unary calls be sent again: Connect's transports hold their messages, session managers do not.
 *
 * Of a stream it tells the session manager when nobody waits for it any more, which transports do not.
 */
import type { Interceptor } from "@connectrpc/connect";
import { isConnectLoaded, loadConnect } from "./connect-peer.ts";
import { attemptHeader, type ConnectService } from "./connect-service.ts";
import { RpcCall } from "./rpc-call.ts";

export function createInterceptor(service: ConnectService): Interceptor {
  return (next) => async (request) => {
    if (!isConnectLoaded()) await loadConnect();
    if (!request.stream) return await RpcCall.run(service, next, request);
    const key = service.announce(request.signal);
    const header = new Headers(request.header);
    header.set(attemptHeader, key);
    try {
      return await next({ ...request, header });
    } finally {
      service.withdraw(key);
    }
  };
}
