/** The layer below through Evenkeel: deadline handed on, breaker, limit on the calls under way, retries. */
import diagnosticsChannel from "node:diagnostics_channel";
import { Balancer } from "../../index.ts";
import type { Answer, Caller } from "./caller.ts";
import type { CallerStats, CallSettings } from "./messages.ts";
import { deadlineHeader, queueMs } from "./plan.ts";

export class EvenkeelCaller implements Caller {
  readonly #balancer: Balancer;
  #sent = 0;
  #refused = 0;
  readonly #onAttempt: () => void = () => {
    this.#sent++;
  };
  readonly #onReject: () => void = () => {
    this.#refused++;
  };

  /** @param name of the layer below. A process calls one layer only: all events of the process are this caller's. */
  constructor(name: string, addresses: readonly string[], settings: CallSettings) {
    const { totalMs, connections, attempts, retriesPerSecond, breaker, inflight, queue } = settings;
    this.#balancer = new Balancer({
      name,
      discovery: addresses,
      deadlineHeader,
      // One attempt may take all of a call's time: the layer below is told when it ends, and answers before.
      timeouts: { totalMs, attemptMs: totalMs },
      retry: attempts > 1 && { attempts, budget: { ratio: 0.2, minPerSecond: retriesPerSecond } },
      limits: { inflight, queue, queueMs },
      breaker,
      connections: { perNode: connections },
    });
    diagnosticsChannel.subscribe("evenkeel:attempt:start", this.#onAttempt);
    diagnosticsChannel.subscribe("evenkeel:reject", this.#onReject);
  }

  get stats(): CallerStats {
    const { inflight = 0, shedding = 0 } = this.#balancer.cluster.admissionState ?? {};
    return { sent: this.#sent, inflight, refused: this.#refused, shedding };
  }

  async call(path: string): Promise<Answer> {
    const { statusCode, body } = await this.#balancer.request({ path, method: "GET" });
    return { status: statusCode, text: await body.text() };
  }

  async close(): Promise<void> {
    diagnosticsChannel.unsubscribe("evenkeel:attempt:start", this.#onAttempt);
    diagnosticsChannel.unsubscribe("evenkeel:reject", this.#onReject);
    await this.#balancer.destroy();
  }
}
