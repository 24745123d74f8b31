/** A session over gRPC: logs in, renews its token, and ends as a whole when the member or the way to it fails. */
import type { ServiceError } from "@grpc/grpc-js";
import type { Clock } from "../../core/clock.ts";
import { EtcdError, failureOf } from "./failure.ts";
import { GrpcChannel } from "./grpc-channel.ts";
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
import type { Peers } from "./peers.ts";
import type { Session } from "./session.ts";
import { WatchStream } from "./watch-stream.ts";

export interface SessionOptions {
  readonly member: string;
  /** Called once, when it ends other than by `close`. */
  ended(error: Error): void;
  /** Aborted when it is not wanted any more before it is open. */
  readonly signal: AbortSignal;
}

export class GrpcSession implements Session {
  readonly #channel: GrpcChannel;
  readonly #auth: ResolvedEtcdOptions["auth"];
  readonly #clock: Clock;
  #ended: ((error: Error) => void) | undefined;
  #token: string | undefined;
  #loggingIn: Promise<void> | undefined;
  #watches: WatchStream | undefined;

  /**
   * Connects and logs in.
   *
   * @throws EtcdError that says why not, or when the signal is aborted.
   */
  static async open(
    peers: Peers,
    options: ResolvedEtcdOptions,
    clock: Clock,
    { member, ended, signal }: SessionOptions,
  ): Promise<GrpcSession> {
    signal.throwIfAborted();
    const channel = new GrpcChannel(peers, options, member);
    const session = new GrpcSession(channel, options.auth, clock, ended);
    const close = (): void => session.close();
    signal.addEventListener("abort", close);
    try {
      await channel.connected(signal);
      if (options.auth !== undefined) await session.#logIn();
      signal.throwIfAborted();
      return session;
    } catch (error) {
      session.close();
      throw error;
    } finally {
      signal.removeEventListener("abort", close);
    }
  }

  private constructor(
    channel: GrpcChannel,
    auth: ResolvedEtcdOptions["auth"],
    clock: Clock,
    ended: (error: Error) => void,
  ) {
    this.#channel = channel;
    this.#auth = auth;
    this.#clock = clock;
    this.#ended = ended;
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
    const answer = await this.#call("Lease", "LeaseGrant", { TTL: ttlSeconds });
    const { ID, TTL, error } = answer as LeaseGrantResponse;
    if (error !== "") throw this.#channel.named(new Error(`it grants no lease: ${error}`));
    return { id: ID, ttlSeconds: Number(TTL) };
  }

  async keepAlive(lease: string): Promise<number> {
    const { TTL } = (await this.#checked(() => this.#keepAliveOnce(lease))) as LeaseKeepAliveResponse;
    return Number(TTL);
  }

  async revoke(lease: string): Promise<void> {
    await this.#call("Lease", "LeaseRevoke", { ID: lease });
  }

  fail(error: Error): void {
    const ended = this.#ended;
    this.close();
    ended?.(this.#channel.named(error));
  }

  close(): void {
    this.#ended = undefined;
    this.#watches?.close();
    this.#channel.close();
  }

  #call(service: string, name: string, request: object): Promise<unknown> {
    return this.#checked(() => this.#channel.unary(service, name, request, this.#token));
  }

  /** Makes a call, with a new token if the present one has expired; a failure of the connection ends the session. */
  async #checked(call: () => Promise<unknown>): Promise<unknown> {
    try {
      return await call().catch(async (error: unknown) => {
        if (this.#auth === undefined || failureOf(error) !== "token") throw error;
        await this.#logIn();
        return await call();
      });
    } catch (error) {
      if (failureOf(error) === "connection") this.fail(error as Error);
      throw error;
    }
  }

  /** A token is asked for once, however many calls find that theirs has expired. */
  #logIn(): Promise<void> {
    this.#loggingIn ??= this.#authenticate().finally(() => {
      this.#loggingIn = undefined;
    });
    return this.#loggingIn;
  }

  async #authenticate(): Promise<void> {
    const request = { name: this.#auth?.username, password: this.#auth?.password };
    try {
      const answer = await this.#channel.unary("Auth", "Authenticate", request, undefined);
      this.#token = (answer as { readonly token: string }).token;
    } catch (error) {
      // Goes on without, as etcd's own clients do: a cluster may get its users later.
      if (!String(error).includes("authentication is not enabled")) throw error;
      this.#token = undefined;
    }
  }

  /** A stream for one answer: registrations are few, and a broken one is then nobody else's. */
  #keepAliveOnce(lease: string): Promise<unknown> {
    const deadline = this.#channel.deadline();
    const call = this.#channel.stream("Lease", "LeaseKeepAlive", this.#token, { deadline });
    return new Promise((resolve, reject) => {
      // The first of these counts; what follows an answer is the end of the stream.
      call.on("error", (error: ServiceError) => reject(this.#channel.named(error)));
      call.on("end", () =>
        reject(this.#channel.named(new EtcdError("connection", "no answer to a keepalive"))),
      );
      call.once("data", (response: unknown) => {
        resolve(response);
        call.end();
      });
      call.write({ ID: lease });
    });
  }

  #openWatches(): WatchStream {
    const call = this.#channel.stream("Watch", "Watch", this.#token);
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
}
