/** The access token of a Nacos user: fetched when first needed, and again before it expires or when it is refused. */
import { Client } from "undici";
import type { Clock } from "../../core/clock.ts";
import type { TlsOptions } from "../tls-options.ts";
import type { NacosServer, ResolvedNacosOptions } from "./options.ts";

/** Posts a form, and resolves with the status and the text of the answer. */
export type PostForm = (
  url: string,
  form: Readonly<Record<string, string>>,
) => Promise<{ readonly status: number; readonly text: string }>;

/** Of Nacos 3, and of those before it. */
const loginPaths = ["/v3/auth/user/login", "/v1/auth/users/login"];
/** How much of a token's life is used: the last tenth is for renewing it, as in Nacos' own client. */
const usedShare = 0.9;
/** A token whose life is not told. Nacos' own default is 5 hours. */
const unknownTtlSeconds = 600;
const answerMs = 3_000;
/** An answer has some hundred bytes; more than this is no answer to a login. */
const mostAnswerBytes = 64 * 1024;

type LoginOptions = Pick<ResolvedNacosOptions, "auth" | "contextPath" | "tls">;

export class NacosLogin {
  readonly #options: LoginOptions;
  readonly #clock: Clock;
  readonly #post: PostForm;
  #token: { readonly text: string; readonly until: number } | undefined;
  #pending: Promise<string> | undefined;

  constructor(options: LoginOptions, clock: Clock, post: PostForm = createPostForm(options.tls)) {
    this.#options = options;
    this.#clock = clock;
    this.#post = post;
  }

  /** The token to send, or undefined when no login is asked for. @throws Error when the server refuses it. */
  async token(server: NacosServer): Promise<string | undefined> {
    const { auth } = this.#options;
    if (auth === undefined) return undefined;
    if (this.#token !== undefined && this.#clock.now() < this.#token.until) return this.#token.text;
    // Many requests may need it at once.
    this.#pending ??= this.#login(server, { ...auth }).finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  /** A server refused this token: the next call logs in again. */
  refuse(token: string | undefined): void {
    if (this.#token?.text === token) this.#token = undefined;
  }

  async #login(server: NacosServer, form: Readonly<Record<string, string>>): Promise<string> {
    const refusals: string[] = [];
    for (const path of loginPaths) {
      const { status, text } = await this.#post(`${server.origin}${this.#options.contextPath}${path}`, form);
      const answer = status === 200 ? tokenOf(text) : undefined;
      if (answer !== undefined) {
        const lifeMs = answer.ttlSeconds * 1_000 * usedShare;
        this.#token = { text: answer.token, until: this.#clock.now() + lifeMs };
        return answer.token;
      }
      refusals.push(`${path} answered ${status}`);
    }
    throw new Error(`the login failed: ${refusals.join(", ")}`);
  }
}

function tokenOf(text: string): { readonly token: string; readonly ttlSeconds: number } | undefined {
  let answer: { readonly accessToken?: unknown; readonly tokenTtl?: unknown } | null;
  try {
    answer = JSON.parse(text);
  } catch {
    // Some other page; the caller says what was asked.
    return undefined;
  }
  if (typeof answer?.accessToken !== "string" || answer.accessToken === "") return undefined;
  const ttl = Number(answer.tokenTtl);
  return { token: answer.accessToken, ttlSeconds: ttl > 0 ? ttl : unknownTtlSeconds };
}

/** Over a connection of its own, as a login is rare, and not by way of whatever the process has installed for all. */
function createPostForm({ ca, cert, key, servername }: TlsOptions): PostForm {
  const tls = Object.entries({ ca, cert, key, servername }).filter(([, value]) => value !== undefined);
  const connect = { timeout: answerMs, ...Object.fromEntries(tls) };
  return async (url, form) => {
    const { origin, pathname } = new URL(url);
    const client = new Client(origin, {
      connect,
      headersTimeout: answerMs,
      bodyTimeout: answerMs,
      maxResponseSize: mostAnswerBytes,
    });
    try {
      const { statusCode, body } = await client.request({
        path: pathname,
        method: "POST",
        headers: { "content-type": "application/x-www-form-urlencoded" },
        body: String(new URLSearchParams(form)),
        signal: AbortSignal.timeout(answerMs),
      });
      return { status: statusCode, text: await body.text() };
    } finally {
      await client.destroy();
    }
  };
}
