/** Who waits for a first node that may be called: `ready()` of a cluster. */
import type { Clock } from "../core/clock.ts";
import { BalancerError } from "../core/errors.ts";

/** The cluster, as far as waiting goes. */
interface Awaited {
  readonly name: string;
  readonly clock: Clock;
  readonly closed: boolean;
  readonly nodeSet: { readonly callable: readonly unknown[] };
  describeNoNode(): string;
}

export class ReadyWaiters {
  readonly #cluster: Awaited;
  readonly #waiters: Set<() => void> = new Set();

  constructor(cluster: Awaited) {
    this.#cluster = cluster;
  }

  /** @throws BalancerError ERR_NO_NODE when no node may be called in time, ERR_CLOSED when the cluster is closed. */
  async wait(timeoutMs: number): Promise<void> {
    const { name, clock, nodeSet } = this.#cluster;
    if (this.#cluster.closed) throw new BalancerError("ERR_CLOSED", name, "the cluster is closed");
    if (nodeSet.callable.length > 0) return;
    await new Promise<void>((resolve, reject) => {
      const finish = () => {
        timer.cancel();
        this.#waiters.delete(finish);
        if (nodeSet.callable.length > 0) {
          resolve();
        } else if (this.#cluster.closed) {
          reject(new BalancerError("ERR_CLOSED", name, "the cluster was closed"));
        } else {
          const message = `${this.#cluster.describeNoNode()}, after ${timeoutMs} ms`;
          reject(new BalancerError("ERR_NO_NODE", name, message));
        }
      };
      const timer = clock.schedule(finish, timeoutMs);
      timer.keepAlive(true);
      this.#waiters.add(finish);
    });
  }

  /** Nodes may have come to be called: whoever waits for one goes on. */
  nodesChanged(): void {
    if (this.#cluster.nodeSet.callable.length > 0) this.#wake();
  }

  /** Nobody waits any longer. */
  close(): void {
    this.#wake();
  }

  #wake(): void {
    for (const finish of [...this.#waiters]) finish();
  }
}
