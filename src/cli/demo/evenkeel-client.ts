/** Calls through Evenkeel: a Balancer over a watched file, or etcd. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { setTimeout as sleep } from "node:timers/promises";
import { type AttemptStartEvent, Balancer, type NodeView } from "../../index.ts";
import { type Client, count, expectGood, within } from "./client.ts";
import type { Directory } from "./directory.ts";
import { attemptMs, retryStatuses, totalMs } from "./options.ts";

/** A watch that lost its registry comes back with pauses of up to 5 s. */
const heardLimitMs = 10_000;
const attemptChannel = "evenkeel:attempt:start";

export class EvenkeelClient implements Client {
  readonly name: string = "Evenkeel";
  readonly attempts: Map<string, number> = new Map();
  readonly #directory: Directory;
  readonly #balancer: Balancer;
  readonly #onAttempt = (message: unknown): void => {
    const { service, address } = message as AttemptStartEvent;
    if (service === this.#balancer.name) count(this.attempts, address);
  };

  private constructor(directory: Directory) {
    this.#directory = directory;
    this.#balancer = new Balancer({
      name: "orders",
      discovery: directory.discovery,
      timeouts: { attemptMs, totalMs },
      retry: { statuses: retryStatuses },
    });
    subscribe(attemptChannel, this.#onAttempt);
  }

  /** @returns a client that knows its nodes. */
  static async open(directory: Directory, addresses: readonly string[]): Promise<EvenkeelClient> {
    await directory.publish(addresses);
    const client = new EvenkeelClient(directory);
    await client.#balancer.ready();
    return client;
  }

  get views(): readonly NodeView[] {
    return this.#balancer.nodes;
  }

  /** Resolves when it knows them, or has not heard of them for long. */
  async announce(addresses: readonly string[]): Promise<void> {
    await this.#directory.publish(addresses);
    const endsAt = performance.now() + heardLimitMs;
    while (!this.#knows(addresses) && performance.now() < endsAt) await sleep(20);
  }

  #knows(addresses: readonly string[]): boolean {
    const known = new Set(this.views.map(({ address }) => address));
    return addresses.every((address) => known.has(address));
  }

  async call(): Promise<void> {
    const { statusCode, body } = await this.#balancer.request({ path: "/", method: "GET" });
    await body.dump();
    expectGood(statusCode);
  }

  async close(): Promise<void> {
    unsubscribe(attemptChannel, this.#onAttempt);
    if (!(await within(1_000, this.#balancer.close()))) await within(1_000, this.#balancer.destroy());
  }
}
