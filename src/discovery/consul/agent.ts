/**
 * The HTTP API of one Consul agent, as far as it is needed, over one undici pool.
 *
 * The pool lives as long as anybody uses it: each watched service holds one of its connections, as a blocking query
 * does, and registrations take turns on another.
 */
import { type Dispatcher, Pool } from "undici";
import type { Clock } from "../../core/clock.ts";
import { within } from "../within.ts";
import type { ResolvedConsulOptions } from "./options.ts";

export interface AgentCall {
  readonly method: "GET" | "PUT";
  readonly path: string;
  /** Beside those that every call has; a name with several values is repeated. */
  readonly query?: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body?: unknown;
  /** Default: what `token()` gives now. */
  readonly token?: string | undefined;
  /** How long the agent may take for its answer. */
  readonly answerMs: number;
  readonly signal: AbortSignal;
}

export interface AgentAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
}

/** Kept within a heartbeat's third of the shortest usual TTL. */
const connectMs = 3_000;
/** For what the program may have to fetch from elsewhere. */
const tokenMs = 10_000;
/** Between two pieces of an answer that has begun. */
const bodyMs = 30_000;
/** 30,000 instances with 2 KiB each. More is a mistake, or an attack on this process's memory. */
const mostBodyBytes = 64 * 1024 * 1024;
/** Until a silent connection is probed: with libuv's ten probes, a second apart, a dead one shows in 20 s. */
const keepAliveMs = 10_000;

export class ConsulAgent {
  readonly #options: ResolvedConsulOptions;
  readonly #clock: Clock;
  #pool: Dispatcher | undefined;
  #users = 0;

  constructor(options: ResolvedConsulOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  /** How errors name it. */
  get name(): string {
    return `consul ${this.#options.address.text}`;
  }

  /** Holds the pool open until disposed of. */
  use(): Disposable {
    this.#users++;
    let isUsing = true;
    return {
      [Symbol.dispose]: () => {
        if (!isUsing) return;
        isUsing = false;
        if (--this.#users === 0) this.#close();
      },
    };
  }

  /** The token of the moment, if there is to be one. @throws Error when there is none in time. */
  async token(signal: AbortSignal): Promise<string | undefined> {
    const { token } = this.#options;
    if (typeof token !== "function") return token;
    let given: unknown;
    try {
      given = await within(token(), tokenMs, signal, this.#clock);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`token() gave no token: ${why}`, { cause: error });
    }
    if (typeof given === "string" && given !== "") return given;
    throw new TypeError(`token() must give a non-empty string, got ${typeof given}`);
  }

  /**
   * One request.
   *
   * @throws Error for what is no answer. Any status is one.
   */
  async call(call: AgentCall): Promise<AgentAnswer> {
    const { method, path, body, answerMs, signal } = call;
    const token = call.token ?? (await this.token(signal));
    const { namespace, partition } = this.#options;
    const query = { ns: namespace, partition, ...call.query };
    this.#pool ??= this.#options.dispatcher ?? this.#createPool();
    const response = await this.#pool.request({
      origin: this.#origin,
      method,
      path: `${path}${queryOf(query)}`,
      headers: {
        ...(token === undefined ? {} : { "x-consul-token": token }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      headersTimeout: answerMs,
      bodyTimeout: bodyMs,
      signal,
    });
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > mostBodyBytes) throw new Error(`the answer has more than ${mostBodyBytes} bytes`);
      chunks.push(chunk);
    }
    return {
      status: response.statusCode,
      headers: response.headers,
      text: Buffer.concat(chunks).toString("utf8"),
    };
  }

  get #origin(): string {
    const { address } = this.#options;
    return address.scheme === "unix" ? "http://localhost" : address.text;
  }

  #createPool(): Pool {
    const { address, tls } = this.#options;
    return new Pool(this.#origin, {
      // As many as there are queries: a limit would let one service wait for another one's change.
      connections: null,
      pipelining: 1,
      allowH2: false,
      connect: {
        timeout: connectMs,
        keepAlive: true,
        keepAliveInitialDelay: keepAliveMs,
        ...(address.scheme === "unix" ? { socketPath: address.socketPath } : {}),
        ...(tls.ca === undefined ? {} : { ca: tls.ca }),
        ...(tls.cert === undefined ? {} : { cert: tls.cert }),
        ...(tls.key === undefined ? {} : { key: tls.key }),
        ...(tls.servername === undefined ? {} : { servername: tls.servername }),
      },
    });
  }

  #close(): void {
    const pool = this.#pool;
    this.#pool = undefined;
    if (pool === undefined || pool === this.#options.dispatcher) return;
    // Nobody waits for an answer any more. What a destroyed pool has to say concerns nobody either.
    pool.destroy().catch(() => {});
  }
}

function queryOf(fields: NonNullable<AgentCall["query"]>): string {
  const query = new URLSearchParams();
  for (const [name, given] of Object.entries(fields)) {
    for (const value of given === undefined ? [] : [given].flat()) query.append(name, value);
  }
  return query.size === 0 ? "" : `?${query}`;
}
