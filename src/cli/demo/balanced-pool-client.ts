/** Calls through undici's BalancedPool, with the same time for each call as through Evenkeel. */
import { BalancedPool, type Dispatcher, Pool } from "undici";
import { type Client, count, expectGood, within } from "./client.ts";
import { totalMs } from "./options.ts";

export class BalancedPoolClient implements Client {
  readonly name: string = "BalancedPool";
  readonly attempts: Map<string, number> = new Map();
  readonly views: readonly never[] = [];
  readonly #pool: BalancedPool;

  constructor(addresses: readonly string[]) {
    const attempts = this.attempts;
    this.#pool = new BalancedPool([...addresses], {
      factory: (origin: URL | string, options: object) =>
        new CountedPool(origin, options, () => count(attempts, new URL(origin).origin)),
    });
  }

  async announce(addresses: readonly string[]): Promise<void> {
    const known = new Set(this.#pool.upstreams);
    for (const address of addresses) if (!known.has(address)) this.#pool.addUpstream(address);
  }

  async call(): Promise<void> {
    const signal = AbortSignal.timeout(totalMs);
    const { statusCode, body } = await this.#pool.request({ path: "/", method: "GET", signal });
    await body.text();
    expectGood(statusCode);
  }

  async close(): Promise<void> {
    await within(1_000, this.#pool.destroy());
  }
}

/** A pool as BalancedPool makes it, which tells of each request. */
class CountedPool extends Pool {
  readonly #onDispatch: () => void;

  constructor(origin: URL | string, options: object, onDispatch: () => void) {
    super(origin, options);
    this.#onDispatch = onDispatch;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.#onDispatch();
    return super.dispatch(options, handler);
  }
}
