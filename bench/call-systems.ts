/** The systems whose cost per call is measured: what a program would use to call one of several nodes. */
import { createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { Client, type ClientOptions, credentials, type ServiceError } from "@grpc/grpc-js";
import { MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import { Agent, BalancedPool, type Dispatcher, Pool, fetch as undiciFetch } from "undici";
import { connectBalancer } from "../src/connect/index.ts";
import { type GrpcBalancerOptions, grpcBalancer } from "../src/grpc/index.ts";
import { Balancer, BalancerAgent, roundRobin, withDeadline } from "../src/index.ts";
import { otel } from "../src/telemetry/otel.ts";
import { Orders } from "./connect-service.ts";
import { getOrder } from "./faults/grpc-method.ts";

export interface System {
  /** One GET to the end of its body; resolves with the body's length. */
  call(): Promise<number>;
  close(): Promise<unknown>;
}

type Addresses = readonly string[];
type Group = Readonly<Record<string, (addresses: Addresses) => System>>;

const path = "/v1/orders/42";
const get = { path, method: "GET" } as const;

async function lengthOf(answer: Promise<Dispatcher.ResponseData>): Promise<number> {
  const { body } = await answer;
  return (await body.arrayBuffer()).byteLength;
}

async function lengthOfFetched(answer: Promise<{ arrayBuffer(): Promise<ArrayBuffer> }>): Promise<number> {
  return (await (await answer).arrayBuffer()).byteLength;
}

/** Takes turns over the addresses. */
function inTurns<T>(items: readonly T[]): () => T {
  let next = 0;
  return () => items[next++ % items.length] as T;
}

function createAgent(addresses: Addresses): BalancerAgent {
  return new BalancerAgent({ services: { orders: { discovery: addresses } } });
}

/** Without a reader the SDK has nowhere to add up, and recording would be free. */
class IdleReader extends MetricReader {
  protected async onForceFlush(): Promise<void> {}
  protected async onShutdown(): Promise<void> {}
}

function authority(address: string): string {
  return new URL(address).host;
}

/** Unary calls of one client; `deadlineMs` is for each call. */
function grpcSystem(
  target: string,
  options: ClientOptions,
  deadlineMs: number | undefined,
  closed: () => unknown = () => undefined,
): System {
  const client = new Client(target, credentials.createInsecure(), options);
  const request = Buffer.from(JSON.stringify({ id: 42 }));
  return {
    call: () =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          getOrder.path,
          getOrder.requestSerialize,
          getOrder.responseDeserialize,
          request,
          deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs },
          (error: ServiceError | null, answer?: Buffer) =>
            error === null ? resolve(answer?.length ?? 0) : reject(error),
        );
      }),
    close: async () => {
      client.close();
      await closed();
    },
  };
}

/** Unary calls of a client of Connect, over its gRPC transport. */
function connectSystem(transport: Transport, close: () => unknown): System {
  const client = createClient(Orders, transport);
  const request = { value: new TextEncoder().encode(JSON.stringify({ id: 42 })) };
  return {
    call: async () => (await client.getOrder(request)).value.length,
    close: async () => close(),
  };
}

function grpcRoundRobin(addresses: Addresses, deadlineMs?: number): System {
  const config = { loadBalancingConfig: [{ round_robin: {} }] };
  const target = `ipv4:${addresses.map(authority).join(",")}`;
  return grpcSystem(target, { "grpc.service_config": JSON.stringify(config) }, deadlineMs);
}

function grpcEvenkeel(
  addresses: Addresses,
  options: Pick<GrpcBalancerOptions, "policy"> = {},
  deadlineMs?: number,
): System {
  const balancer = grpcBalancer({ name: "orders", discovery: addresses, ...options });
  return grpcSystem(balancer.target, balancer.channelOptions, deadlineMs, () => balancer.close());
}

function roundRobinOverPools(addresses: Addresses): System {
  const pools = addresses.map((address) => new Pool(address, { connections: 100 }));
  const nextPool = inTurns(pools);
  return {
    call: () => lengthOf(nextPool().request(get)),
    close: () => Promise.all(pools.map((pool) => pool.close())),
  };
}

/** By name; the first of a group is the yardstick: what a program would do by hand. */
export const groups: Readonly<Record<string, Group>> = {
  request: {
    "round robin over bare Pools": roundRobinOverPools,
    "Evenkeel's Balancer, all defaults on": (addresses) => {
      const balancer = new Balancer({ name: "orders", discovery: addresses });
      return { call: () => lengthOf(balancer.request(get)), close: () => balancer.close() };
    },
    "Evenkeel's Balancer, otel metrics on": (addresses) => {
      const balancer = new Balancer({ name: "orders", discovery: addresses });
      const provider = new MeterProvider({ readers: [new IdleReader()] });
      const stop = otel({ meterProvider: provider, spans: false });
      return {
        call: () => lengthOf(balancer.request(get)),
        close: async () => {
          stop();
          await balancer.close();
          await provider.shutdown();
        },
      };
    },
    "Evenkeel's BalancerAgent, all defaults on": (addresses) => {
      const agent = createAgent(addresses);
      const request = { ...get, origin: "http://orders" };
      return { call: () => lengthOf(agent.request(request)), close: () => agent.close() };
    },
    "undici BalancedPool": (addresses) => {
      const pool = new BalancedPool([...addresses], { connections: 100 });
      return { call: () => lengthOf(pool.request(get)), close: () => pool.close() };
    },
    "undici Agent, round robin by hand": (addresses) => {
      const agent = new Agent({ connections: 100 });
      const nextAddress = inTurns(addresses);
      return {
        call: () => lengthOf(agent.request({ ...get, origin: nextAddress() })),
        close: () => agent.close(),
      };
    },
  },
  resilience: {
    "round robin over bare Pools": roundRobinOverPools,
    "Evenkeel's Balancer, breaker and adaptive limit on, each call with an inherited deadline that is sent": (
      addresses,
    ) => {
      const balancer = new Balancer({
        name: "orders",
        discovery: addresses,
        breaker: true,
        limits: { adaptive: true },
        deadlineHeader: "grpc-timeout",
      });
      const call = () => lengthOf(balancer.request(get));
      return { call: () => withDeadline(2_000, call), close: () => balancer.close() };
    },
  },
  http2: {
    "a bare Pool, one session": ([address = ""]) => {
      const pool = new Pool(address, { connections: 1, useH2c: true } as Pool.Options);
      return { call: () => lengthOf(pool.request(get)), close: () => pool.close() };
    },
    "Evenkeel's Balancer, all defaults on": ([address = ""]) => {
      const balancer = new Balancer({
        name: "orders",
        discovery: [address],
        connections: { http2: "prior-knowledge", perNode: 1 },
      });
      return { call: () => lengthOf(balancer.request(get)), close: () => balancer.close() };
    },
  },
  grpc: {
    "grpc-js round_robin": (addresses) => grpcRoundRobin(addresses),
    "Evenkeel's grpcBalancer, all defaults on": (addresses) => grpcEvenkeel(addresses),
    "Evenkeel's grpcBalancer, roundRobin()": (addresses) => grpcEvenkeel(addresses, { policy: roundRobin() }),
  },
  "grpc-deadline": {
    "grpc-js round_robin, each call with a deadline": (addresses) => grpcRoundRobin(addresses, 2_000),
    "Evenkeel's grpcBalancer, each call with a deadline": (addresses) => grpcEvenkeel(addresses, {}, 2_000),
    "Evenkeel's grpcBalancer, which ends calls by itself": (addresses) => grpcEvenkeel(addresses),
  },
  connect: {
    "Connect's own Http2SessionManager, pings every second": ([address = ""]) => {
      const sessionManager = new Http2SessionManager(address, { pingIntervalMs: 1_000, pingTimeoutMs: 500 });
      const transport = createGrpcTransport({ baseUrl: address, sessionManager });
      return connectSystem(transport, () => sessionManager.abort());
    },
    "Evenkeel's connectBalancer, all defaults on": ([address = ""]) => {
      const balancer = connectBalancer({ name: "orders", discovery: [address] });
      return connectSystem(createGrpcTransport(balancer.transportOptions), () => balancer.close());
    },
    "Evenkeel's connectBalancer, its session manager only": ([address = ""]) => {
      const balancer = connectBalancer({ name: "orders", discovery: [address] });
      const options = { ...balancer.transportOptions, interceptors: [] };
      return connectSystem(createGrpcTransport(options), () => balancer.close());
    },
  },
  fetch: {
    "undici fetch over an Agent, round robin by hand": (addresses) => {
      const dispatcher = new Agent({ connections: 100 });
      const nextAddress = inTurns(addresses);
      return {
        call: () => lengthOfFetched(undiciFetch(nextAddress() + path, { dispatcher })),
        close: () => dispatcher.close(),
      };
    },
    "agent.fetch, all defaults on": (addresses) => {
      const agent = createAgent(addresses);
      return { call: () => lengthOfFetched(agent.fetch(`http://orders${path}`)), close: () => agent.close() };
    },
    "agent.fetch, straight through": (addresses) => {
      const agent = createAgent(addresses);
      const nextAddress = inTurns(addresses);
      return { call: () => lengthOfFetched(agent.fetch(nextAddress() + path)), close: () => agent.close() };
    },
  },
};
