/**
 * A gRPC service for a fault test: processes, a balanced channel over them, and beside it grpc-js' round_robin as it
 * comes, and with all that it offers against faults. All three are driven in the same run.
 */
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { startGrpcBackend } from "../../../bench/faults/grpc-backend.ts";
import { getOrder } from "../../../bench/faults/grpc-method.ts";
import type { Instance } from "../../../bench/faults/instance.ts";
import { type GrpcBalancer, type GrpcBalancerOptions, grpcBalancer } from "../../../src/grpc/index.ts";
import { type DriveOptions, type DriveResult, drive } from "../../support/drive.ts";
import { count } from "../../support/figure.ts";
import { Recorder } from "../../support/recorder.ts";
import { connected, openRoundRobin } from "./clients.ts";

/** How long a call may take in all: what tells a hang from a slow answer. */
export const totalMs = 2_000;
const message = Buffer.from(JSON.stringify({ id: 42 }));
export type Results = Readonly<Record<"ours" | "plain" | "hardened", DriveResult>>;

export interface Shop extends AsyncDisposable {
  readonly backends: Instance[];
  readonly balancer: GrpcBalancer;
  readonly recorder: Recorder;
  call(client: Client): Promise<void>;
  readonly ours: Client;
  /** Drives all three at the same rate. */
  drive(options: DriveOptions): Promise<Results>;
}

export interface ShopPlan {
  readonly nodes?: number;
  readonly workMs?: number;
  readonly workers?: number;
  readonly options?: Omit<GrpcBalancerOptions, "name" | "discovery">;
  /** Made from the addresses; by default they stay announced whatever happens. */
  readonly discover?: (addresses: readonly string[]) => GrpcBalancerOptions["discovery"];
}

export async function startShop(name: string, plan: ShopPlan = {}): Promise<Shop> {
  const { nodes = 5, workMs = 5, workers = 100, options = {}, discover = (addresses) => addresses } = plan;
  await using stack = new AsyncDisposableStack();
  const backends: Instance[] = [];
  stack.defer(async () => {
    await Promise.all(backends.map((backend) => backend.kill()));
  });
  await Promise.all(
    Array.from({ length: nodes }, async () => {
      backends.push(await startGrpcBackend({ workMs, workers }));
    }),
  );
  const addresses = backends.map(({ address }) => address);
  const recorder = stack.use(new Recorder(name));
  const balancer = stack.use(
    grpcBalancer({ name, discovery: discover(addresses), retry: { methods: [getOrder.path] }, ...options }),
  );
  const ours = new Client(balancer.target, credentials.createInsecure(), balancer.channelOptions);
  stack.defer(() => ours.close());
  await connected(ours);
  const plain = stack.use(await openRoundRobin(addresses));
  const hardened = stack.use(await openRoundRobin(addresses, { hardened: true }));
  const started = stack.move();
  return {
    backends,
    balancer,
    recorder,
    call,
    ours,
    async drive(driving) {
      const [first, second, third] = await Promise.all([
        drive(driving, () => call(ours)),
        drive(driving, () => call(plain)),
        drive(driving, () => call(hardened)),
      ]);
      return { ours: first, plain: second, hardened: third };
    },
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}

function call(client: Client): Promise<void> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      getOrder.path,
      getOrder.requestSerialize,
      getOrder.responseDeserialize,
      message,
      new Metadata(),
      { deadline: Date.now() + totalMs },
      (error: ServiceError | null) => (error === null ? resolve() : reject(error)),
    );
  });
}

/** What failed of the calls of all three, for a figure. */
export function failures({ ours, plain, hardened }: Results): readonly string[] {
  return [
    `round_robin ${plain.failed.length}, with retryPolicy and keepalive ${hardened.failed.length} of ${count(ours.calls.length)} each`,
  ];
}

/** The node that has most calls in flight now. */
export function busiest({ balancer, backends }: Shop): Instance {
  const [node] = balancer.nodes.toSorted((left, right) => right.inflight - left.inflight);
  const backend = backends.find(({ address }) => node?.address === `http://${address}`);
  if (backend === undefined) throw new Error("there is no backend");
  return backend;
}
