/** The layer below through undici alone: one instance after the other, a timeout, undici's retries where there are any. */
import { Agent, type Dispatcher, interceptors, request } from "undici";
import type { Answer, Caller } from "./caller.ts";
import type { CallerStats, CallSettings } from "./messages.ts";

/** As Evenkeel has them by default, and short pauses, so that there is time for them. */
const retryStatuses = [502, 503, 504];
const pauses = { minTimeout: 25, maxTimeout: 250, timeoutFactor: 2 };

export class PlainCaller implements Caller {
  readonly #addresses: readonly string[];
  readonly #totalMs: number;
  readonly #agent: Agent;
  readonly #dispatcher: Dispatcher;
  #calls = 0;
  #sent = 0;
  #inflight = 0;

  constructor(addresses: readonly string[], { totalMs, connections, attempts }: CallSettings) {
    this.#addresses = addresses;
    this.#totalMs = totalMs;
    this.#agent = new Agent({ connections });
    const counted: Dispatcher.DispatcherComposeInterceptor = (dispatch) => (options, handler) => {
      this.#sent++;
      return dispatch(options, handler);
    };
    this.#dispatcher =
      attempts === 1
        ? this.#agent.compose(counted)
        : this.#agent.compose(
            counted,
            interceptors.retry({ maxRetries: attempts - 1, statusCodes: retryStatuses, ...pauses }),
          );
  }

  get stats(): CallerStats {
    return { sent: this.#sent, inflight: this.#inflight, refused: 0, shedding: 0 };
  }

  async call(path: string): Promise<Answer> {
    const address = this.#addresses[this.#calls++ % this.#addresses.length];
    const signal = AbortSignal.timeout(this.#totalMs);
    this.#inflight++;
    try {
      const { statusCode, body } = await request(`${address}${path}`, {
        dispatcher: this.#dispatcher,
        signal,
      });
      return { status: statusCode, text: await body.text() };
    } finally {
      this.#inflight--;
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }
}
