/** A connection to one Nacos server over grpc-js, which is loaded when the first one is made. */
import type * as GrpcModule from "@grpc/grpc-js";
import type { TlsOptions } from "../tls-options.ts";
import type { NacosServer } from "./options.ts";
import { decodePayload, encodePayload, type Payload } from "./payload.ts";

/** What comes without being asked for. Nothing comes after `ended`, nor after `close`. */
export interface ChannelEvents {
  message(payload: Payload): void;
  ended(error: Error): void;
}

/** One HTTP/2 connection: the server knows its client by it. */
export interface NacosChannel {
  /** @throws Error when there is no answer within `timeoutMs`. */
  request(payload: Payload, timeoutMs: number): Promise<Payload>;
  /** Opens the stream of pushes with a first message. */
  openStream(setup: Payload): void;
  /** Sends over the stream. */
  send(payload: Payload): void;
  close(): void;
}

export interface NacosTransport {
  open(server: NacosServer, events: ChannelEvents): NacosChannel;
}

/** 10,000 instances with 3 KiB each; grpc-js' own limit of 4 MiB is below that of large services. */
const largestMessage = 32 * 1024 * 1024;

/** How long the last message over a stream, such as the answer to a reset, has to be on its way. */
const lingerMs = 500;

const requestPath = "/Request/request";
const streamPath = "/BiRequestStream/requestBiStream";

/** @throws Error that says what to install, when grpc-js is not there. */
export async function createTransport(tls: TlsOptions): Promise<NacosTransport> {
  const grpc = await loadGrpc();
  return { open: (server, events) => new GrpcChannel(grpc, server, tls, events) };
}

async function loadGrpc(): Promise<typeof GrpcModule> {
  try {
    return await import("@grpc/grpc-js");
  } catch (error) {
    const { code, message } = error as { readonly code?: unknown; readonly message?: unknown };
    if (code !== "ERR_MODULE_NOT_FOUND" || !String(message).includes("@grpc/grpc-js")) throw error;
    throw new Error("install @grpc/grpc-js to use evenkeel/nacos", { cause: error });
  }
}

class GrpcChannel implements NacosChannel {
  readonly #grpc: typeof GrpcModule;
  readonly #client: GrpcModule.Client;
  readonly #events: ChannelEvents;
  readonly #requests: Set<GrpcModule.ClientUnaryCall> = new Set();
  #stream: GrpcModule.ClientDuplexStream<Payload, Payload> | undefined;
  #isOver = false;

  constructor(grpc: typeof GrpcModule, server: NacosServer, tls: TlsOptions, events: ChannelEvents) {
    this.#grpc = grpc;
    this.#events = events;
    this.#client = new grpc.Client(server.grpcAddress, credentialsOf(grpc, server, tls), {
      // A connection of its own: the server takes whatever comes over one for the same client.
      "grpc.use_local_subchannel_pool": 1,
      "grpc.max_receive_message_length": largestMessage,
      // What it is retried on is decided a level above.
      "grpc.enable_retries": 0,
      "grpc.enable_http_proxy": 0,
      ...(tls.servername === undefined ? {} : { "grpc.ssl_target_name_override": tls.servername }),
    });
  }

  request(payload: Payload, timeoutMs: number): Promise<Payload> {
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        requestPath,
        encodePayload,
        decodePayload,
        payload,
        new this.#grpc.Metadata(),
        { deadline: Date.now() + timeoutMs },
        (error, answer) => {
          this.#requests.delete(call);
          if (error !== null) reject(error);
          else if (answer === undefined) reject(new Error(`${payload.type} got an empty answer`));
          else resolve(answer);
        },
      );
      this.#requests.add(call);
    });
  }

  openStream(setup: Payload): void {
    const stream = this.#client.makeBidiStreamRequest(streamPath, encodePayload, decodePayload);
    this.#stream = stream;
    stream.on("data", (payload: Payload) => {
      if (!this.#isOver) this.#events.message(payload);
    });
    stream.on("error", (error: Error) => this.#end(error));
    stream.on("end", () => this.#end(new Error("the server ended the stream")));
    stream.write(setup);
  }

  send(payload: Payload): void {
    if (!this.#isOver) this.#stream?.write(payload);
  }

  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const call of this.#requests) call.cancel();
    const stream = this.#stream;
    if (stream !== undefined) {
      stream.end();
      const timer = setTimeout(() => stream.cancel(), lingerMs).unref();
      stream.once("status", () => clearTimeout(timer));
    }
    this.#client.close();
  }

  #end(error: Error): void {
    if (this.#isOver) return;
    this.close();
    this.#events.ended(error);
  }
}

function credentialsOf(
  grpc: typeof GrpcModule,
  { isSecure }: NacosServer,
  { ca, cert, key }: TlsOptions,
): GrpcModule.ChannelCredentials {
  if (!isSecure) return grpc.credentials.createInsecure();
  const bytes = (pem: string | Buffer | undefined): Buffer | null =>
    pem === undefined ? null : Buffer.from(pem);
  return grpc.credentials.createSsl(bytes(ca), bytes(key), bytes(cert));
}
