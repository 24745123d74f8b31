/**
 * A connection to one member of etcd, over grpc-js: the thin end at which everything else becomes calls.
 *
 * Each connection has a channel of its own, and calls that fail at once while it is not connected. A channel over all
 * members that waits until it is ready would hide which member is bad, and grow its pauses by rules of its own.
 */
import type { ChannelOptions, Client, ClientDuplexStream, Metadata, ServiceError } from "@grpc/grpc-js";
import type { Clock } from "../../core/clock.ts";
import { EtcdError, failureOf } from "./failure.ts";
import type {
  LeaseGrantResponse,
  LeaseKeepAliveResponse,
  PutRequest,
  RangeRequest,
  RangeResponse,
  WatchRequest,
  WatchResponse,
} from "./messages.ts";
import type { ResolvedEtcdOptions } from "./options.ts";
import type { Method, Peers } from "./peers.ts";
import type { Session } from "./session.ts";
import { WatchStream } from "./watch-stream.ts";

/** grpc-js' default of 4 MB is too little for a page of long values; with none at all, anybody could fill the memory. */
const largestAnswer = 64 * 1024 * 1024;

const channelOptions: ChannelOptions = {
  // A dead peer shows within 13 s; etcd takes pings of less than 5 s apart for an attack.
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 3_000,
  "grpc.max_receive_message_length": largestAnswer,
  // A fresh connection for each session, without the pauses of the one before.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.service_config_disable_resolution": 1,
  // A registry is next door, and variables for the way out of the house often forget to say so.
  "grpc.enable_http_proxy": 0,
};

export class GrpcSession implements Session {
  readonly #peers: Peers;
  readonly #options: ResolvedEtcdOptions;
  readonly #member: string;
  readonly #clock: Clock;
  readonly #client: Client;
  #ended: ((error: Error) => void) | undefined;
  #token: string | undefined;
  #loggingIn: Promise<void> | undefined;
  #watches: WatchStream | undefined;
  #watchCall: ClientDuplexStream<object, unknown> | undefined;

  /** Connects and logs in. */
  static async open(
    peers: Peers,
    options: ResolvedEtcdOptions,
    clock: Clock,
    member: string,
    ended: (error: Error) => void,
  ): Promise<GrpcSession> {
    const session = new GrpcSession(peers, options, clock, member, ended);
    try {
      await session.#connected();
      if (options.auth !== undefined) await session.#logIn();
      return session;
    } catch (error) {
      session.close();
      throw error;
    }
  }

  private constructor(
    peers: Peers,
    options: ResolvedEtcdOptions,
    clock: Clock,
    member: string,
    ended: (error: Error) => void,
  ) {
    this.#peers = peers;
    this.#options = options;
    this.#clock = clock;
    this.#member = member;
    this.#ended = ended;
    const { tls } = options;
    const { credentials, Client: GrpcClient } = peers.grpc;
    const secured =
      tls === undefined ? credentials.createInsecure() : credentials.createSsl(tls.ca, tls.key, tls.cert);
    const name = tls?.servername;
    this.#client = new GrpcClient(member, secured, {
      ...channelOptions,
      ...(name === undefined
        ? {}
        : { "grpc.ssl_target_name_override": name, "grpc.default_authority": name }),
    });
  }

  get watches(): WatchStream {
    this.#watches ??= this.#openWatches();
    return this.#watches;
  }

  async range(request: RangeRequest): Promise<RangeResponse> {
    return (await this.#call("KV", "Range", request)) as RangeResponse;
  }

  async put(request: PutRequest): Promise<void> {
    await this.#call("KV", "Put", request);
  }

  async grant(ttlSeconds: number): Promise<{ readonly id: string; readonly ttlSeconds: number }> {
    const { ID, TTL, error } = (await this.#call("Lease", "LeaseGrant", {
      TTL: ttlSeconds,
    })) as LeaseGrantResponse;
    if (error !== "") throw new Error(`etcd at ${this.#member} grants no lease: ${error}`);
    return { id: ID, ttlSeconds: Number(TTL) };
  }

  async keepAlive(lease: string): Promise<number> {
    const { TTL } = (await this.#renewed(() => this.#keepAliveOnce(lease))) as LeaseKeepAliveResponse;
    return Number(TTL);
  }

  async revoke(lease: string): Promise<void> {
    await this.#call("Lease", "LeaseRevoke", { ID: lease });
  }

  fail(error: Error): void {
    const ended = this.#ended;
    this.close();
    ended?.(this.#named(error));
  }

  close(): void {
    this.#ended = undefined;
    this.#watches?.close();
    this.#watchCall?.cancel();
    this.#client.close();
  }

  async #connected(): Promise<void> {
    const { READY } = this.#peers.grpc.connectivityState;
    if ((await this.#settled()) === READY) return;
    // A call fails at once now, and knows why the connection did.
    try {
      await this.#unary("KV", "Range", { key: Buffer.of(0) });
    } catch (error) {
      if (failureOf(error) === "connection") throw error;
    }
  }

  /** Waits until the channel is connected, or is not and waits for its next attempt. */
  #settled(): Promise<number> {
    const { IDLE, CONNECTING } = this.#peers.grpc.connectivityState;
    const { connectMs } = this.#options;
    const channel = this.#client.getChannel();
    const deadline = Date.now() + connectMs;
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
          else
            reject(
              new EtcdError("connection", `etcd at ${this.#member}: not connected within ${connectMs} ms`),
            );
        });
      };
      look();
    });
  }

  /** A token is asked for once, however many calls find that theirs has expired. */
  #logIn(): Promise<void> {
    this.#loggingIn ??= this.#authenticate().finally(() => {
      this.#loggingIn = undefined;
    });
    return this.#loggingIn;
  }

  async #authenticate(): Promise<void> {
    const { auth } = this.#options;
    if (auth === undefined) return;
    this.#token = undefined;
    try {
      const request = { name: auth.username, password: auth.password };
      const { token } = (await this.#unary("Auth", "Authenticate", request)) as { readonly token: string };
      this.#token = token;
    } catch (error) {
      // Goes on without, as etcd's own clients do: a cluster may get its users later.
      if (!String((error as Error).message).includes("authentication is not enabled")) throw error;
    }
  }

  async #call(service: string, name: string, request: object): Promise<unknown> {
    return await this.#renewed(() => this.#unary(service, name, request));
  }

  async #renewed(call: () => Promise<unknown>): Promise<unknown> {
    try {
      return await call();
    } catch (error) {
      if (this.#options.auth === undefined || failureOf(error) !== "token") throw error;
      await this.#logIn();
      return await call();
    }
  }

  #unary(service: string, name: string, request: object): Promise<unknown> {
    const { path, requestSerialize, responseDeserialize } = this.#method(service, name);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        this.#metadata(),
        { deadline: this.#deadline() },
        (error, response) => (error === null ? resolve(response) : reject(this.#failed(error))),
      );
    });
  }

  /** A stream for one answer: registrations are few, and a broken one is then nobody else's. */
  #keepAliveOnce(lease: string): Promise<unknown> {
    const call = this.#stream("Lease", "LeaseKeepAlive", { deadline: this.#deadline() });
    return new Promise((resolve, reject) => {
      let isOver = false;
      const fail = (error: Error): void => {
        if (isOver) return;
        isOver = true;
        reject(this.#failed(error));
      };
      call.on("error", fail);
      call.on("end", () => fail(new EtcdError("connection", "no answer to a keepalive")));
      call.once("data", (response: unknown) => {
        isOver = true;
        resolve(response);
        call.end();
      });
      call.write({ ID: lease });
    });
  }

  #openWatches(): WatchStream {
    const call = this.#stream("Watch", "Watch", {});
    this.#watchCall = call;
    const watches = new WatchStream({
      clock: this.#clock,
      send: (request: WatchRequest) => void call.write(request),
      failed: (error) => this.fail(error),
    });
    call.on("data", (response: WatchResponse) => watches.received(response));
    call.on("error", (error: ServiceError) => this.fail(error));
    call.on("end", () => this.fail(new EtcdError("connection", "the watch stream ended")));
    return watches;
  }

  #stream(
    service: string,
    name: string,
    options: { deadline?: number },
  ): ClientDuplexStream<object, unknown> {
    const { path, requestSerialize, responseDeserialize } = this.#method(service, name);
    return this.#client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      this.#metadata(),
      options,
    );
  }

  #method(service: string, name: string): Method {
    return this.#peers.method(service, name);
  }

  #metadata(): Metadata {
    const metadata = new this.#peers.grpc.Metadata();
    // A member that has lost the others answers with an error instead of waiting, and ends its watches.
    metadata.set("hasleader", "true");
    if (this.#token !== undefined) metadata.set("token", this.#token);
    return metadata;
  }

  #deadline(): number {
    return Date.now() + this.#options.requestMs;
  }

  /** What a call is rejected with; a failure of the connection ends the session. */
  #failed(error: Error): Error {
    const named = this.#named(error);
    if (named.failure === "connection") this.fail(named);
    return named;
  }

  #named(error: Error): EtcdError {
    if (error instanceof EtcdError && error.message.startsWith("etcd at ")) return error;
    const { details = error.message } = error as Partial<ServiceError>;
    // grpc-js adds this with nothing behind it.
    const text = details.replace(/\.? Resolution note: *$/, "");
    return new EtcdError(failureOf(error), `etcd at ${this.#member}: ${text}`, error);
  }
}
