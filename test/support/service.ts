/** A service for a fault test: backend processes, a balancer over them, and a record of what happens. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { Balancer, type BalancerOptions } from "../../src/index.ts";
import {
  type Backend,
  type BackendBehaviour,
  type BackendPlace,
  startBackends,
} from "../../src/testing/backend.ts";
import { type FaultProxy, startFaultProxy } from "../../src/testing/fault-proxy.ts";
import { createAuthority } from "./certificates.ts";
import { http1, isEncrypted, type Protocol } from "./protocols.ts";
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
  /** One in front of each backend, in the same order, if there are any. */
  readonly proxies: readonly FaultProxy[];
  readonly recorder: Recorder;
  /** What starts a further backend that the balancer can talk to. */
  readonly place: Omit<BackendPlace, "port">;
  /** A call that fails unless it is answered with 200 and the whole body. */
  call(method?: string, headers?: Readonly<Record<string, string>>): Promise<void>;
}

export interface ServicePlan {
  /** Default HTTP/1.1. */
  readonly protocol?: Protocol;
  /** Puts a fault proxy in front of each backend: the nodes are the proxies then. Default false. */
  readonly proxied?: boolean;
  /** Makes the source of nodes from the addresses. Default: they stay announced whatever happens. */
  readonly discover?: (addresses: readonly string[]) => BalancerOptions["discovery"];
}

/**
 * Starts `nodes` backends and a balancer over all of them.
 *
 * @param name tells this service's events from those of others.
 */
export async function startService(
  name: string,
  nodes: number,
  behaviour: Partial<BackendBehaviour>,
  options: Omit<BalancerOptions, "name" | "discovery"> = {},
  { protocol = http1, proxied = false, discover = (addresses) => addresses }: ServicePlan = {},
): Promise<Service> {
  await using stack = new AsyncDisposableStack();
  const { place, tls } = await certify(name, protocol);
  const backends = await startBackends(nodes, behaviour, place);
  for (const backend of backends) stack.use(backend);
  const targets = proxied ? backends.map(({ address }) => address) : [];
  const proxies = await Promise.all(targets.map((target) => startFaultProxy({ target })));
  for (const proxy of proxies) stack.use(proxy);
  const recorder = stack.use(new Recorder(name));
  const balancer = new Balancer({
    ...options,
    connections: { ...protocol.connections, ...options.connections },
    tls,
    name,
    discovery: discover((proxied ? proxies : backends).map(({ address }) => address)),
  });
  stack.defer(() => balancer.destroy());
  const started = stack.move();
  return {
    balancer,
    backends,
    proxies,
    recorder,
    place,
    async call(method = "GET", headers = {}) {
      const { statusCode, body } = await balancer.request({ path: "/", method, headers });
      await body.text();
      if (statusCode !== 200) throw new Error(`status ${statusCode}`);
    },
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}

/** What the backends need to be trusted under the service's name, and the balancer to trust them. */
async function certify(
  name: string,
  protocol: Protocol,
): Promise<{ place: Omit<BackendPlace, "port">; tls: NonNullable<BalancerOptions["tls"]> }> {
  if (!isEncrypted(protocol)) return { place: { protocol: protocol.speaks }, tls: {} };
  await using authority = await createAuthority();
  const tls = await authority.issue({ names: [name] });
  return { place: { protocol: protocol.speaks, tls }, tls: { ca: authority.ca } };
}

/** The first, with a clear error where there is none. */
export function first<Item>(items: readonly Item[], what: string): Item {
  const [item] = items;
  if (item === undefined) throw new Error(`there is no ${what}`);
  return item;
}
