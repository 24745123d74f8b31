/** Loads what speaks gRPC when it is first needed: the root and those without etcd do without it. */
import { protocol } from "./protocol.ts";

/** One method of a service, as proto-loader defines it. */
export interface Method {
  readonly path: string;
  readonly requestSerialize: (request: object) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => unknown;
}

export interface Peers {
  readonly grpc: typeof import("@grpc/grpc-js");
  /** @param service without its package, as "KV". */
  method(service: string, name: string): Method;
}

let loading: Promise<Peers> | undefined;

/** @throws Error that says what to install, when a peer is not there. */
export function loadPeers(): Promise<Peers> {
  loading ??= load();
  return loading;
}

async function load(): Promise<Peers> {
  try {
    const [grpc, loader] = await Promise.all([import("@grpc/grpc-js"), import("@grpc/proto-loader")]);
    const definition = loader.fromJSON(protocol as Parameters<typeof loader.fromJSON>[0], {
      longs: String,
      enums: String,
      defaults: true,
    });
    return {
      grpc,
      method(service, name) {
        const methods = definition[`etcdserverpb.${service}`] as Readonly<Record<string, Method>>;
        return methods[name] as Method;
      },
    };
  } catch (error) {
    // The next one who asks may have installed it.
    loading = undefined;
    const missing = /Cannot find package '(@grpc\/(?:grpc-js|proto-loader))'/.exec(String(error))?.[1];
    if (missing === undefined) throw error;
    throw new Error(`install ${missing} to use evenkeel/etcd`, { cause: error });
  }
}
