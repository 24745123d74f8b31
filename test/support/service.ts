/** A service for a fault test: backend processes, a balancer over them, and a record of what happens. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { Balancer, type BalancerOptions } from "../../src/index.ts";
import { type Backend, type BackendBehaviour, startBackends } from "../../src/testing/backend.ts";
import { Recorder } from "./recorder.ts";

/** A backend that has two GETs in flight at this moment, so that what happens to it now happens to them. */
export async function findBusy(service: Service): Promise<Backend> {
  for (const endsAt = performance.now() + 3_000; performance.now() < endsAt; ) {
    // Right after the answers that have arrived were read: what is in flight then is not answered yet.
    await nextTurn();
    const busy = service.backends.find(({ address }) => service.recorder.inFlight(address, "GET") >= 2);
    if (busy !== undefined) return busy;
  }
  throw new Error("no backend had two GETs in flight within 3 s");
}

export interface Service extends AsyncDisposable {
  readonly balancer: Balancer;
  readonly backends: readonly Backend[];
  readonly recorder: Recorder;
  /** A call that fails unless it is answered with 200 and the whole body. */
  call(method?: string, headers?: Readonly<Record<string, string>>): Promise<void>;
}

/**
 * Starts `nodes` backends and a balancer over all of them, which stay announced whatever happens.
 *
 * @param name tells this service's events from those of others.
 */
export async function startService(
  name: string,
  nodes: number,
  behaviour: Partial<BackendBehaviour>,
  options: Omit<BalancerOptions, "name" | "discovery"> = {},
): Promise<Service> {
  const backends = await startBackends(nodes, behaviour);
  const recorder = new Recorder(name);
  const balancer = new Balancer({ ...options, name, discovery: backends.map(({ address }) => address) });
  return {
    balancer,
    backends,
    recorder,
    async call(method = "GET", headers = {}) {
      const { statusCode, body } = await balancer.request({ path: "/", method, headers });
      await body.text();
      if (statusCode !== 200) throw new Error(`status ${statusCode}`);
    },
    async [Symbol.asyncDispose]() {
      await balancer.destroy();
      recorder[Symbol.dispose]();
      await Promise.all(backends.map((backend) => backend.kill()));
    },
  };
}

/** The first, with a clear error where there is none. */
export function first<Item>(items: readonly Item[], what: string): Item {
  const [item] = items;
  if (item === undefined) throw new Error(`there is no ${what}`);
  return item;
}
