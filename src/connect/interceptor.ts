/** The interceptor that lets unary calls be sent again: Connect's transports hold their messages, session managers do not. */
import type { Interceptor } from "@connectrpc/connect";
import { isConnectLoaded, loadConnect } from "./connect-peer.ts";
import type { ConnectService } from "./connect-service.ts";
import { RpcCall } from "./rpc-call.ts";

export function createInterceptor(service: ConnectService): Interceptor {
  return (next) => async (request) => {
    if (request.stream) return await next(request);
    if (!isConnectLoaded()) await loadConnect();
    return await RpcCall.run(service, next, request);
  };
}
