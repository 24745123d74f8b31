/**
 * A gRPC service for a fault test: processes, a balanced channel over them, and beside it grpc-js' round_robin as it
 * comes, and with all that it offers against faults. Each test drives all three.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { type GrpcBackend, startGrpcBackend } from "../../../bench/faults/grpc-backend.ts";
import { askForOrder, getOrder } from "../../../bench/faults/grpc-method.ts";
import type { GrpcBalancer, GrpcBalancerOptions } from "../../../src/grpc/index.ts";
import type { ListDiscovery } from "../../../src/index.ts";
import { type DriveOptions, type DriveResult, drive } from "../../support/drive.ts";
import { count } from "../../support/figure.ts";
import { Recorder } from "../../support/recorder.ts";
import { statisticsOf } from "./channelz.ts";
import { balance, connected, type OrdersClient } from "./clients.ts";
import { openRoundRobin } from "./round-robin.ts";

export const systems = ["ours", "plain", "hardened"] as const;
export type System = (typeof systems)[number];
/** One thing for each of the systems that are compared; "hardened" is round_robin with retryPolicy and keepalive. */
export type Each<Thing> = Readonly<Record<System, Thing>>;

/** Where it is not about pings: a process that is starved for half a second would take its connections for dead. */
const patient = { pingTimeoutMs: 5_000 };

export interface Shop extends AsyncDisposable {
  readonly backends: GrpcBackend[];
  readonly balancer: GrpcBalancer;
  /** Of ours. */
  readonly recorder: Recorder;
  readonly clients: Each<OrdersClient>;
  /** Drives all three side by side, each at the rate. */
  drive(options: DriveOptions): Promise<Each<DriveResult>>;
}

export interface ShopPlan {
  readonly nodes?: number;
  readonly workMs?: number;
  readonly workers?: number;
  /** How long a call may take in all. Default 10 s: a busy machine may take its time, and most faults show at once. */
  readonly callMs?: number;
  readonly options?: Omit<GrpcBalancerOptions, "name" | "discovery">;
  /** Is given the addresses, and what all three then follow; by default they stay announced whatever happens. */
  readonly discovery?: ListDiscovery;
}

export async function startShop(plan: ShopPlan = {}): Promise<Shop> {
  const { nodes = 5, workMs = 5, workers = 100, callMs = 10_000, options = {}, discovery } = plan;
  await using stack = new AsyncDisposableStack();
  const backends: GrpcBackend[] = [];
  stack.defer(async () => {
    await Promise.all(backends.map((backend) => backend.kill()));
  });
  await Promise.all(
    Array.from({ length: nodes }, async () => {
      backends.push(await startGrpcBackend({ workMs, workers }));
    }),
  );
  const addresses = backends.map(({ address }) => address);
  discovery?.set(addresses);
  const announced = discovery ?? addresses;
  const { balancer, client: ours } = stack.use(
    balance(announced, { retry: { methods: [getOrder.path] }, connections: patient, ...options }),
  );
  const recorder = stack.use(new Recorder(balancer.name));
  await connected(ours);
  const plain = stack.use(await openRoundRobin(announced));
  const hardened = stack.use(await openRoundRobin(announced, { hardened: true }));
  const clients = { ours, plain, hardened };
  const started = stack.move();
  return {
    backends,
    balancer,
    recorder,
    clients,
    drive: (driving) => ofEach((system) => drive(driving, () => askForOrder(clients[system], callMs))),
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}

/** Makes one for each system, side by side. */
export async function ofEach<Thing>(make: (system: System) => Promise<Thing>): Promise<Each<Thing>> {
  const [ours, plain, hardened] = await Promise.all([make("ours"), make("plain"), make("hardened")]);
  return { ours, plain, hardened };
}

/** What became of the other two's calls, for a figure. */
export function describePeers({ plain, hardened }: Omit<Each<string>, "ours">): string {
  return `round_robin ${plain}, with retryPolicy and keepalive ${hardened}`;
}

export function failures(results: Each<DriveResult>): string {
  const failed = (system: System): string =>
    `${results[system].failed.length} of ${count(results[system].calls.length)} failed`;
  return describePeers({ plain: failed("plain"), hardened: failed("hardened") });
}

/**
 * Waits until a backend has so many calls of each system in flight, so that what happens to it now happens to them.
 *
 * @returns it, and how many of ours it has.
 * @throws Error when none has within 5 s.
 */
export async function findBusy(
  { backends, clients }: Shop,
  fewest: number,
): Promise<{ readonly backend: GrpcBackend; readonly inflight: number }> {
  for (const endsAt = performance.now() + 5_000; performance.now() < endsAt; ) {
    // Right after the answers that have arrived were read: what is in flight then is not answered yet.
    await nextTurn();
    const statistics = systems.map((system) => statisticsOf(clients[system]));
    for (const backend of backends) {
      const counts = statistics.map((of) => of.get(backend.address)?.inflight ?? 0);
      if (counts.every((inflight) => inflight >= fewest)) return { backend, inflight: counts[0] ?? 0 };
    }
  }
  throw new Error(`no backend had ${fewest} calls of each in flight within 5 s`);
}
