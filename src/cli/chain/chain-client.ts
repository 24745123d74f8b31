/** Whoever calls A: no balancer, as many connections as it takes, and the time that each call has told in a header. */
import { Agent, request } from "undici";
import { deadlineHeader, deadlineMs } from "./plan.ts";

/** Far beyond what any call has: an answer that comes too late is to be seen as such. */
const patienceMs = 10 * deadlineMs;

export class ChainClient implements AsyncDisposable {
  readonly #agent: Agent = new Agent({ headersTimeout: patienceMs, bodyTimeout: patienceMs });
  readonly #address: string;

  constructor(address: string) {
    this.#address = address;
  }

  /** One call, to the end of its body. @throws Error for a status from 500 on, and when there is no answer. */
  async call(path: string): Promise<void> {
    const { statusCode, body } = await request(`${this.#address}${path}`, {
      dispatcher: this.#agent,
      headers: { [deadlineHeader]: String(deadlineMs) },
    });
    const text = await body.text();
    if (statusCode >= 500) throw new Error(`status ${statusCode}: ${text}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }
}
