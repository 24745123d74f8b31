/** One connection to one Nacos server as requests see it: numbered, with the token of the moment, refusals as errors. */
import type { NacosLogin } from "./login.ts";
import { answerTo, type Fields, NacosError, noRight, unregistered } from "./messages.ts";
import type { NacosServer } from "./options.ts";
import type { Payload } from "./payload.ts";
import type { NacosChannel } from "./transport.ts";

/** They are about the connection and not about data, so that a login that fails does not end one that is well. */
const withoutToken: ReadonlySet<string> = new Set(["ServerCheckRequest", "HealthCheckRequest"]);

export class Session {
  readonly server: NacosServer;
  /** The handshake is over. */
  isReady = false;
  readonly #channel: NacosChannel;
  readonly #login: NacosLogin;
  #requests = 0;

  constructor(server: NacosServer, channel: NacosChannel, login: NacosLogin) {
    this.server = server;
    this.#channel = channel;
    this.#login = login;
  }

  /**
   * Sends a request; if its token is refused, once more with another.
   *
   * @throws Error when it is not answered within `timeoutMs`, or with an error.
   */
  async request(type: string, fields: Fields, timeoutMs: number): Promise<Fields> {
    for (let attempt = 1; ; attempt++) {
      const envelope = await this.#envelope(type, fields);
      try {
        return answerTo(type, await this.#channel.request(envelope, timeoutMs));
      } catch (error) {
        const { accessToken } = envelope.headers;
        const isRefused = error instanceof NacosError && error.errorCode === noRight;
        if (!isRefused || attempt > 1 || accessToken === undefined) throw error;
        this.#login.refuse(accessToken);
      }
    }
  }

  /** Returns what opens the stream of pushes, once the token for it is there: the clock of the setup runs from then on. */
  async prepareSetup(fields: Fields): Promise<() => void> {
    const envelope = await this.#envelope("ConnectionSetupRequest", fields);
    return () => this.#channel.openStream(envelope);
  }

  /** Answers a request of the server's: it takes a client that does not for dead. */
  acknowledge(type: string, requestId: unknown): void {
    const body = JSON.stringify({ resultCode: 200, errorCode: 0, success: true, requestId });
    this.#channel.send({ type: type.replace(/Request$/, "Response"), headers: {}, body });
  }

  close(): void {
    this.#channel.close();
  }

  named(cause: unknown): Error {
    return namedError(this.server, cause);
  }

  async #envelope(type: string, fields: Fields): Promise<Payload> {
    const accessToken = withoutToken.has(type) ? undefined : await this.#login.token(this.server);
    return {
      type,
      headers: accessToken === undefined ? {} : { accessToken },
      body: JSON.stringify({ ...fields, requestId: String(++this.#requests) }),
    };
  }
}

/** The error as it is reported: it says which server. */
export function namedError(server: NacosServer, cause: unknown): Error {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new Error(`nacos ${server.name}: ${why}`, { cause });
}

/** Whether the server says that it does not know this connection. */
export function isUnregistered(error: unknown): boolean {
  return error instanceof NacosError && error.errorCode === unregistered;
}
