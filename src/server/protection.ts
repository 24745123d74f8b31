/** A protected server process: the adapters, all over one limit and one drain. */
import { sleep } from "../core/sleep.ts";
import { type FastifyPlugin, fastifyPlugin } from "./fastify-adapter.ts";
import { type GrpcInterceptor, type GrpcLibrary, grpcInterceptor } from "./grpc-adapter.ts";
import { type HttpRequest, type HttpResponse, serve } from "./http-adapter.ts";
import type { ResolvedProtectOptions } from "./protect-options.ts";
import { ProtectionCore } from "./protection-core.ts";

/** How it stands, as plain data. */
export interface ProtectionStatus {
  readonly draining: boolean;
  /** Calls that were let in and have not ended. */
  readonly inflight: number;
  /** The most that may be in flight now; `Infinity` without a limit. */
  readonly limit: number;
  /** Calls that were refused, since the start. */
  readonly refused: {
    /** Their deadline had passed before they came in. */
    readonly deadline: number;
    readonly eventLoop: number;
    readonly concurrency: number;
  };
}

export class Protection implements AsyncDisposable {
  readonly #core: ProtectionCore;
  #closing: Promise<void> | undefined;

  constructor(options: ResolvedProtectOptions) {
    this.#core = new ProtectionCore(options);
  }

  /** Whether readiness has ended. Calls are still served. */
  get draining(): boolean {
    return this.drainSignal.aborted;
  }

  /** Aborted when the drain begins: for a gRPC health service to say so, and for streams to come to an end. */
  get drainSignal(): AbortSignal {
    return this.#core.drainSignal;
  }

  get status(): ProtectionStatus {
    const { guard, refused } = this.#core;
    const { deadline, "event loop": eventLoop, concurrency } = refused;
    return {
      draining: this.draining,
      inflight: guard.inflight,
      limit: guard.limit,
      refused: { deadline, eventLoop, concurrency },
    };
  }

  /**
   * A listener for `node:http`, `node:https` and the requests of `node:http2`, around another one: an Express app, a
   * Connect router, a function.
   *
   * @example
   * createServer(protection.listener((request, response) => response.end("hello")));
   */
  listener<Request extends HttpRequest, Response extends HttpResponse>(
    handler: (request: Request, response: Response) => unknown,
  ): (request: Request, response: Response) => unknown {
    // What the handler returns is handed on: with `captureRejections`, Node.js looks after its promise.
    return (request, response) => serve(this.#core, request, response, () => handler(request, response));
  }

  /** Middleware for Express and Connect. The first one: what runs before it is neither protected nor counted. */
  middleware(): (request: HttpRequest, response: HttpResponse, next: (error?: unknown) => void) => void {
    return (request, response, next) => serve(this.#core, request, response, next);
  }

  /**
   * A plugin for Fastify, for all of its routes. Register it before those that have hooks of their own.
   *
   * @example
   * app.register(protection.fastify());
   */
  fastify(): FastifyPlugin {
    return fastifyPlugin(this.#core);
  }

  /**
   * An interceptor for servers of grpc-js, which is handed in: the copy that the program serves with.
   *
   * @example
   * import * as grpc from "@grpc/grpc-js";
   * const server = new grpc.Server({ interceptors: [protection.interceptor(grpc)] });
   */
  interceptor<Call>(grpc: GrpcLibrary<Call>): GrpcInterceptor<Call> {
    return grpcInterceptor(this.#core, grpc);
  }

  /** Ends readiness, for good. Calls are served as before; a registration does this when it is closed. */
  drain(): void {
    this.#core.drain();
  }

  /**
   * Ends readiness, and waits for `drainMs`, so that whoever asks for it has heard. For `closeOnSignals`, before the
   * server, where no registration does it.
   */
  close(): Promise<void> {
    const { clock, drainMs } = this.#core.options;
    this.drain();
    this.#closing ??= sleep(clock, drainMs, new AbortController().signal);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
