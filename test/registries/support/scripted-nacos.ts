/**
 * A Nacos server under a test's control, for what r-nacos does not do: acknowledgements, resets, very large pushes.
 *
 * That it speaks as real ones do is what `nacos-interop.test.ts` shows with Nacos' Go client. That has no acknowledgements;
 * Nacos' Java client (2.5.1, tried by hand) takes them from here, and without them it never counts as connected.
 */
import * as grpc from "@grpc/grpc-js";
import { decodePayload, encodePayload, type Payload } from "../../../src/discovery/nacos/payload.ts";

type Json = Readonly<Record<string, unknown>>;
type Stream = grpc.ServerDuplexStream<Payload, Payload>;

/** Nothing of it is at this distance; any free port of gRPC's goes. */
const portOffset = 1_000;

export class ScriptedNacos implements AsyncDisposable {
  /** `127.0.0.1:port` of the HTTP API, which is not there. */
  readonly address: string;
  /** The requests that came, by type, in their order. */
  readonly requests: { readonly type: string; readonly fields: Json }[] = [];
  /** What clients sent over their streams. */
  readonly sent: { readonly type: string; readonly fields: Json }[] = [];
  readonly streams: Set<Stream> = new Set();
  hosts: readonly Json[] = [];
  isSilent = false;
  #lastRefTime = 0;
  readonly #server: grpc.Server;

  private constructor(server: grpc.Server, grpcPort: number) {
    this.#server = server;
    this.address = `127.0.0.1:${grpcPort - portOffset}`;
  }

  static async start(
    credentials: grpc.ServerCredentials = grpc.ServerCredentials.createInsecure(),
  ): Promise<ScriptedNacos> {
    const server = new grpc.Server({ "grpc.max_send_message_length": -1 });
    const started: { nacos?: ScriptedNacos } = {};
    const method = { requestSerialize: encodePayload, requestDeserialize: decodePayload };
    const answers = { responseSerialize: encodePayload, responseDeserialize: decodePayload };
    server.addService(
      {
        request: {
          path: "/Request/request",
          requestStream: false,
          responseStream: false,
          ...method,
          ...answers,
        },
      },
      {
        request: (call: grpc.ServerUnaryCall<Payload, Payload>, callback: grpc.sendUnaryData<Payload>) =>
          started.nacos?.serve(call.request, callback),
      },
    );
    server.addService(
      {
        stream: {
          path: "/BiRequestStream/requestBiStream",
          requestStream: true,
          responseStream: true,
          ...method,
          ...answers,
        },
      },
      { stream: (stream: Stream) => started.nacos?.accept(stream) },
    );
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", credentials, (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    started.nacos = new ScriptedNacos(server, port);
    return started.nacos;
  }

  /** Sends a request to all clients. */
  push(type: string, fields: Json): void {
    const body = JSON.stringify({ requestId: `${type}-1`, ...fields });
    for (const stream of this.streams) stream.write({ type, headers: {}, body });
  }

  publish(hosts: readonly Json[]): void {
    this.hosts = hosts;
    this.push("NotifySubscriberRequest", {
      serviceName: "orders",
      groupName: "DEFAULT_GROUP",
      serviceInfo: this.#info(),
    });
  }

  count(type: string): number {
    return this.requests.filter((one) => one.type === type).length;
  }

  serve({ type, body }: Payload, callback: grpc.sendUnaryData<Payload>): void {
    this.requests.push({ type, fields: JSON.parse(body) as Json });
    if (this.isSilent) return;
    const answer = {
      resultCode: 200,
      ...(type === "ServerCheckRequest" ? { connectionId: "1", supportAbilityNegotiation: true } : {}),
      ...(type === "SubscribeServiceRequest" ? { serviceInfo: this.#info() } : {}),
    };
    callback(null, { type: type.replace("Request", "Response"), headers: {}, body: JSON.stringify(answer) });
  }

  accept(stream: Stream): void {
    this.streams.add(stream);
    stream.on("data", ({ type, body }: Payload) => {
      this.sent.push({ type, fields: JSON.parse(body) as Json });
      if (type === "ConnectionSetupRequest") {
        stream.write({ type: "SetupAckRequest", headers: {}, body: '{"requestId":"ack"}' });
      }
    });
    const forget = (): void => void this.streams.delete(stream);
    stream.on("error", forget);
    stream.on("cancelled", forget);
    stream.on("end", () => {
      forget();
      stream.end();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
  }

  #info(): Json {
    const { hosts } = this;
    // The wall clock, as clients compare what different servers say.
    this.#lastRefTime = Math.max(this.#lastRefTime + 1, Date.now());
    return { name: "orders", groupName: "DEFAULT_GROUP", hosts, lastRefTime: this.#lastRefTime };
  }
}

export function host(number: number, more: Json = {}): Json {
  return {
    ip: `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`,
    port: 8080,
    weight: 1,
    healthy: true,
    enabled: true,
    clusterName: "DEFAULT",
    metadata: {},
    ...more,
  };
}
