/** Servers of gRPC in this process, with one small service: `shop.Orders`, bytes to bytes, so that no .proto is needed. */
import {
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerOptions,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";

const asItIs = (bytes: Buffer): Buffer => bytes;

function method(
  name: string,
  requestStream: boolean,
  responseStream: boolean,
): MethodDefinition<Buffer, Buffer> {
  return {
    path: `/shop.Orders/${name}`,
    requestStream,
    responseStream,
    requestSerialize: asItIs,
    requestDeserialize: asItIs,
    responseSerialize: asItIs,
    responseDeserialize: asItIs,
  };
}

type Method = MethodDefinition<Buffer, Buffer>;

export const methods: Readonly<Record<"get" | "put" | "list" | "collect" | "chat", Method>> = {
  get: method("Get", false, false),
  put: method("Put", false, false),
  list: method("List", false, true),
  collect: method("Collect", true, false),
  chat: method("Chat", true, true),
};

export interface Handlers {
  readonly get?: handleUnaryCall<Buffer, Buffer>;
  readonly put?: handleUnaryCall<Buffer, Buffer>;
  readonly list?: handleServerStreamingCall<Buffer, Buffer>;
  readonly collect?: handleClientStreamingCall<Buffer, Buffer>;
  readonly chat?: handleBidiStreamingCall<Buffer, Buffer>;
}

/** One instance. */
export interface TestServer extends AsyncDisposable {
  /** `127.0.0.1:50051`. */
  readonly address: string;
  readonly port: number;
  readonly server: Server;
  /** Calls that handlers were given, by method. */
  readonly calls: Map<string, number>;
  /** Calls of `get`. */
  readonly gets: number;
  /** Connections that stand. */
  readonly sessions: number;
  /** Ends it at once, with all that is under way. */
  stop(): Promise<void>;
}

/** @param handlers of what is missing, `get` and `put` answer with the port. */
export async function startServer(
  handlers: Handlers = {},
  {
    port = 0,
    place = `127.0.0.1:${port}`,
    options = {},
    secured = ServerCredentials.createInsecure(),
  }: {
    readonly port?: number;
    /** Another than 127.0.0.1: `unix:/path`. */
    readonly place?: string;
    readonly options?: ServerOptions;
    readonly secured?: ServerCredentials;
  } = {},
): Promise<TestServer> {
  const calls = new Map<string, number>();
  const server = new Server(options);
  let bound = 0;
  const answer: handleUnaryCall<Buffer, Buffer> = (_call, callback) =>
    callback(null, Buffer.from(String(bound)));
  const given: Record<string, unknown> = { get: answer, put: answer, ...handlers };
  const counted: Record<string, (...args: unknown[]) => unknown> = {};
  for (const [name, handle] of Object.entries(given)) {
    counted[name] = (...args: unknown[]) => {
      calls.set(name, (calls.get(name) ?? 0) + 1);
      return (handle as (...all: unknown[]) => unknown)(...args);
    };
  }
  server.addService(methods, counted as UntypedServiceImplementation);
  bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(place, secured, (error, actual) => (error === null ? resolve(actual) : reject(error)));
  });
  const stop = async (): Promise<void> => server.forceShutdown();
  return {
    address: place.startsWith("unix:") ? place : `127.0.0.1:${bound}`,
    port: bound,
    server,
    calls,
    get gets() {
      return calls.get("get") ?? 0;
    },
    get sessions() {
      // grpc-js has no public way to ask.
      return (server as unknown as { readonly sessions: ReadonlyMap<unknown, unknown> }).sessions.size;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Several with the same handlers. */
export async function startServers(count: number, handlers: Handlers = {}): Promise<TestServers> {
  const servers = await Promise.all(Array.from({ length: count }, () => startServer(handlers)));
  return Object.assign(servers, {
    [Symbol.asyncDispose]: async () => {
      await Promise.all(servers.map((server) => server.stop()));
    },
  });
}

export type TestServers = readonly TestServer[] & AsyncDisposable;
