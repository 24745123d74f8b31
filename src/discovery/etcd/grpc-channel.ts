/**
 * One gRPC channel to one member of etcd: makes calls, and names the member in what they fail with.
 *
 * Calls fail at once while it is not connected. A channel over all members that waits until it is ready would hide
 * which member is bad, and grow its pauses by rules of its own.
 */
import type { ChannelOptions, Client, ClientDuplexStream, Metadata, ServiceError } from "@grpc/grpc-js";
import { EtcdError, failureOf } from "./failure.ts";
import type { ResolvedEtcdOptions, ResolvedTls } from "./options.ts";
import type { Peers } from "./peers.ts";
import { reach } from "./reach.ts";

/** grpc-js' default of 4 MB is too little for a page of long values; with none at all, anybody could fill the memory. */
const largestAnswer = 64 * 1024 * 1024;

const channelOptions: ChannelOptions = {
  // A dead peer shows within 13 s; etcd takes pings of less than 5 s apart for an attack.
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 3_000,
  "grpc.max_receive_message_length": largestAnswer,
  // A fresh connection for each channel, without the pauses of the one before.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.service_config_disable_resolution": 1,
  // A registry is next door, and variables for the way out of the house often forget to say so.
  "grpc.enable_http_proxy": 0,
};

export class GrpcChannel {
  readonly #peers: Peers;
  readonly #options: ResolvedEtcdOptions;
  readonly #member: string;
  readonly #client: Client;
  /** Calls that have not ended: to close a client of grpc-js ends none of them. */
  readonly #calls: Set<{ cancel(): void }> = new Set();

  constructor(peers: Peers, options: ResolvedEtcdOptions, member: string) {
    this.#peers = peers;
    this.#options = options;
    this.#member = member;
    this.#client = createClient(peers, options.tls, member);
  }

  /**
   * Waits until it is connected.
   *
   * @throws EtcdError that says why it is not, or when the signal is aborted.
   */
  async connected(signal: AbortSignal): Promise<void> {
    const { READY, SHUTDOWN } = this.#peers.grpc.connectivityState;
    const { connectMs } = this.#options;
    const deadline = Date.now() + connectMs;
    await reach(this.#member, connectMs, signal).catch((error: Error) => {
      throw this.named(new EtcdError("connection", error.message, error));
    });
    const state = await this.#settled(deadline);
    if (state === READY) return;
    if (state === SHUTDOWN) throw this.named(new EtcdError("connection", "closed before it was connected"));
    // A call fails at once now, and knows why the connection did.
    try {
      await this.unary("KV", "Range", { key: Buffer.of(0) }, undefined);
    } catch (error) {
      if (failureOf(error) === "connection") throw error;
    }
  }

  /** @throws EtcdError that names the member. */
  unary(service: string, name: string, request: object, token: string | undefined): Promise<unknown> {
    const { path, requestSerialize, responseDeserialize } = this.#peers.method(service, name);
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        this.#metadata(token),
        { deadline: this.deadline() },
        (error, response) => {
          this.#calls.delete(call);
          if (error === null) resolve(response);
          else reject(this.named(error));
        },
      );
      this.#calls.add(call);
    });
  }

  /** @param options without a deadline it is open until it is canceled. */
  stream(
    service: string,
    name: string,
    token: string | undefined,
    options: { readonly deadline?: number } = {},
  ): ClientDuplexStream<object, unknown> {
    const { path, requestSerialize, responseDeserialize } = this.#peers.method(service, name);
    const call = this.#client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      this.#metadata(token),
      options,
    );
    this.#calls.add(call);
    call.once("status", () => this.#calls.delete(call));
    return call;
  }

  /** When a call that is made now has to be over. */
  deadline(): number {
    return Date.now() + this.#options.requestMs;
  }

  /** An error as it is passed on. */
  named(error: Error): EtcdError {
    const place = `etcd at ${this.#member}: `;
    if (error instanceof EtcdError && error.message.startsWith(place)) return error;
    const { details = error.message } = error as Partial<ServiceError>;
    // grpc-js adds this with nothing behind it.
    return new EtcdError(
      failureOf(error),
      `${place}${details.replace(/\.? Resolution note: *$/, "")}`,
      error,
    );
  }

  /** Ends all calls, which fail. */
  close(): void {
    for (const call of this.#calls) call.cancel();
    this.#client.close();
  }

  /** Waits until the channel is connected, or is not and waits for its next attempt. */
  #settled(deadline: number): Promise<number> {
    const { IDLE, CONNECTING } = this.#peers.grpc.connectivityState;
    const { connectMs } = this.#options;
    const channel = this.#client.getChannel();
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const state = channel.getConnectivityState(true);
        if (state !== IDLE && state !== CONNECTING) {
          resolve(state);
          return;
        }
        channel.watchConnectivityState(state, deadline, (error) => {
          // grpc-js itself would wait for a peer that takes the connection and then says nothing.
          if (error === undefined) look();
          else reject(this.named(new EtcdError("connection", `not connected within ${connectMs} ms`)));
        });
      };
      look();
    });
  }

  #metadata(token: string | undefined): Metadata {
    const metadata = new this.#peers.grpc.Metadata();
    // A member that has lost the others answers with an error instead of waiting, and ends its watches.
    metadata.set("hasleader", "true");
    if (token !== undefined) metadata.set("token", token);
    return metadata;
  }
}

function createClient({ grpc }: Peers, tls: ResolvedTls | undefined, member: string): Client {
  const { credentials, Client: GrpcClient } = grpc;
  if (tls === undefined) return new GrpcClient(member, credentials.createInsecure(), channelOptions);
  const { ca, key, cert, servername: name } = tls;
  const names = { "grpc.ssl_target_name_override": name, "grpc.default_authority": name };
  return new GrpcClient(member, credentials.createSsl(ca, key, cert), {
    ...channelOptions,
    ...(name === undefined ? {} : names),
  });
}
