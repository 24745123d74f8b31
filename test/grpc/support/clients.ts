/** Clients of the test service through a balanced channel. */
import { setTimeout as sleep } from "node:timers/promises";
import {
  type CallOptions,
  Client,
  type ClientOptions,
  type ClientReadableStream,
  credentials,
  Metadata,
  type MethodDefinition,
  type ServiceError,
} from "@grpc/grpc-js";
import { type GrpcBalancer, type GrpcBalancerOptions, grpcBalancer } from "../../../src/grpc/index.ts";
import { roundRobin } from "../../../src/index.ts";
import { methods } from "./servers.ts";

const nothing = Buffer.alloc(0);

export class OrdersClient extends Client {
  /** Resolves with the port of the server that answered. */
  get(options: CallOptions = {}, metadata: Metadata = new Metadata()): Promise<number> {
    return this.unary(methods.get, options, metadata).then(Number);
  }

  put(options: CallOptions = {}): Promise<number> {
    return this.unary(methods.put, options).then(Number);
  }

  list(options: CallOptions = {}): ClientReadableStream<Buffer> {
    const { path, requestSerialize, responseDeserialize } = methods.list;
    return this.makeServerStreamRequest(path, requestSerialize, responseDeserialize, nothing, options);
  }

  unary(
    { path, requestSerialize, responseDeserialize }: MethodDefinition<Buffer, Buffer>,
    options: CallOptions = {},
    metadata: Metadata = new Metadata(),
    request: Buffer = nothing,
  ): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      let hasBegun = false;
      const call = this.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        options,
        (error: ServiceError | null, answer?: Buffer) => {
          if (error === null) resolve(answer ?? nothing);
          else reject(hasBegun ? Object.assign(error, { hasBegun }) : error);
        },
      );
      call.once("metadata", () => {
        hasBegun = true;
      });
    });
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Whether a call failed after its answer had begun, from when on gRPC lets nobody send it again. */
export function hadBegun(error: unknown): boolean {
  return (error as { readonly hasBegun?: boolean } | undefined)?.hasBegun === true;
}

export interface Balanced extends AsyncDisposable {
  readonly balancer: GrpcBalancer;
  readonly client: OrdersClient;
  /** Another client, with a channel of its own. */
  connect(options?: ClientOptions): OrdersClient;
}

let number = 0;

/** A balancer and a client over it; both are closed at the end. */
export function balance(
  discovery: GrpcBalancerOptions["discovery"],
  options: Omit<GrpcBalancerOptions, "name" | "discovery"> = {},
  channelOptions: ClientOptions = {},
): Balanced {
  number++;
  const balancer = grpcBalancer({ name: `orders${number}`, discovery, ...options });
  const clients: OrdersClient[] = [];
  const connect = (more: ClientOptions = {}): OrdersClient => {
    const client = new OrdersClient(balancer.target, credentials.createInsecure(), {
      ...balancer.channelOptions,
      ...more,
    });
    clients.push(client);
    return client;
  };
  return {
    balancer,
    client: connect(channelOptions),
    connect,
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.close();
      await balancer.close();
    },
  };
}

/** For `balance`: ejection would keep calls from a bad node, and there would be nothing to retry. */
export const withoutEjection: Pick<GrpcBalancerOptions, "health" | "policy"> = {
  health: { ejection: false as const },
  policy: roundRobin(),
};

/** A methodConfig of the channel's own, for all methods of the service. */
export function configured(config: object): { "grpc.service_config": string } {
  return {
    "grpc.service_config": JSON.stringify({
      methodConfig: [{ name: [{ service: "shop.Orders" }], ...config }],
    }),
  };
}

/** Resolves when the client's channel has a connection. */
export function connected(client: Client, timeoutMs = 5_000): Promise<void> {
  return new Promise((resolve, reject) => {
    client.waitForReady(Date.now() + timeoutMs, (error) => (error ? reject(error) : resolve()));
  });
}

/** Makes calls one after the other. */
export async function inTurn<Result>(count: number, call: () => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  for (let index = 0; index < count; index++) results.push(await call());
  return results;
}

/** Looks again and again until the condition holds, which may itself make calls. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  limitMs = 5_000,
): Promise<void> {
  for (const endsAt = performance.now() + limitMs; !(await condition()); await sleep(5)) {
    if (performance.now() > endsAt) throw new Error(`not within ${limitMs} ms: ${what}`);
  }
}

/** How often each value occurs. */
export function tally<Value>(values: readonly Value[]): Map<Value, number> {
  const counts = new Map<Value, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}
