/** The gRPC systems of the fault bench: Evenkeel, and grpc-js's round_robin as it comes and with all that it offers. */
import { credentials } from "@grpc/grpc-js";
import { grpcBalancer } from "../../src/grpc/index.ts";
import { statisticsOf } from "../../test/grpc/support/channelz.ts";
import { connected, OrdersClient } from "../../test/grpc/support/clients.ts";
import { openRoundRobin, type RoundRobinOptions } from "../../test/grpc/support/round-robin.ts";
import { askForOrder, getOrder } from "./grpc-method.ts";
import { attemptMs, attempts, backoffMs, totalMs } from "./plan.ts";
import type { Caller, System } from "./system.ts";

/** INTERNAL is what a 500 is to the HTTP systems, which are told to retry it. */
const retryOn: readonly string[] = ["UNAVAILABLE", "INTERNAL"];

export const grpcSystems: readonly System[] = [
  {
    name: "Evenkeel over gRPC",
    protocol: "grpc",
    settings: `all defaults, but the method in \`retry.methods\` (on UNAVAILABLE, never on INTERNAL) and \`attemptMs\` ${attemptMs}`,
    open: openEvenkeel,
  },
  {
    name: "grpc-js round_robin",
    protocol: "grpc",
    settings: "grpc-js's defaults",
    open: (addresses) => openPeer(addresses, {}),
  },
  {
    name: "grpc-js round_robin, retryPolicy, keepalive",
    protocol: "grpc",
    settings: `\`maxAttempts\` ${attempts} on ${retryOn.join(" and ")}, \`initialBackoff\` ${backoffMs / 1_000}s, keepalive 1 s, its timeout 0.5 s`,
    open: (addresses) => openPeer(addresses, { hardened: true, retryOn }),
  },
];

async function openEvenkeel(addresses: readonly string[]): Promise<Caller> {
  const balancer = grpcBalancer({
    name: "orders",
    discovery: addresses,
    timeouts: { attemptMs, totalMs },
    retry: { methods: [getOrder.path] },
  });
  const client = new OrdersClient(balancer.target, credentials.createInsecure(), balancer.channelOptions);
  await connected(client);
  return createCaller(client, () => balancer.close());
}

async function openPeer(addresses: readonly string[], options: RoundRobinOptions): Promise<Caller> {
  return createCaller(await openRoundRobin(addresses, options));
}

function createCaller(client: OrdersClient, closed: () => Promise<void> = async () => {}): Caller {
  return {
    call: () => askForOrder(client),
    sent: () => new Map(Array.from(statisticsOf(client), ([address, { started }]) => [address, started])),
    async close() {
      client.close();
      await closed();
    },
  };
}
