/** Calls through Evenkeel: a Balancer over a watched file. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { mkdtempSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AttemptStartEvent, Balancer, file, type NodeView } from "../../index.ts";
import { type Client, count, expectGood, within } from "./client.ts";
import { removeAtExit } from "./exit-guard.ts";
import { attemptMs, retryStatuses, totalMs } from "./options.ts";

const attemptChannel = "evenkeel:attempt:start";

export class EvenkeelClient implements Client {
  readonly name: string = "Evenkeel";
  readonly attempts: Map<string, number> = new Map();
  readonly #path: string;
  readonly #balancer: Balancer;
  readonly #onAttempt = (message: unknown): void => {
    const { service, address } = message as AttemptStartEvent;
    if (service === this.#balancer.name) count(this.attempts, address);
  };

  private constructor(path: string) {
    this.#path = path;
    this.#balancer = new Balancer({
      name: "orders",
      discovery: file(path),
      timeouts: { attemptMs, totalMs },
      retry: { statuses: retryStatuses },
    });
    subscribe(attemptChannel, this.#onAttempt);
  }

  /** @returns a client that knows its nodes. */
  static async open(addresses: readonly string[]): Promise<EvenkeelClient> {
    const folder = mkdtempSync(join(tmpdir(), "evenkeel-demo-"));
    removeAtExit(folder);
    const path = join(folder, "orders.json");
    await publish(path, addresses);
    const client = new EvenkeelClient(path);
    await client.#balancer.ready();
    return client;
  }

  get views(): readonly NodeView[] {
    return this.#balancer.nodes;
  }

  announce(addresses: readonly string[]): Promise<void> {
    return publish(this.#path, addresses);
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

/** By a rename, so that no reader ever sees half a file. */
async function publish(path: string, addresses: readonly string[]): Promise<void> {
  await writeFile(`${path}.new`, JSON.stringify({ endpoints: addresses }, null, 2));
  await rename(`${path}.new`, path);
}
