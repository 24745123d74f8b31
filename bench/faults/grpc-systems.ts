/** The gRPC systems of the fault bench: grpc-js's round_robin as it comes, and with all that it offers against faults. */
import { statisticsOf } from "../../test/grpc/support/channelz.ts";
import { openRoundRobin, type RoundRobinOptions } from "../../test/grpc/support/round-robin.ts";
import { askForOrder } from "./grpc-method.ts";
import { attempts, backoffMs } from "./plan.ts";
import type { Caller, System } from "./system.ts";

/** INTERNAL is what a 500 is to the HTTP systems, which are told to retry it. */
const retryOn: readonly string[] = ["UNAVAILABLE", "INTERNAL"];

export const grpcSystems: readonly System[] = [
  {
    name: "grpc-js round_robin",
    protocol: "grpc",
    settings: "grpc-js's defaults",
    open: (addresses) => openCaller(addresses, {}),
  },
  {
    name: "grpc-js round_robin, retryPolicy, keepalive",
    protocol: "grpc",
    settings: `\`maxAttempts\` ${attempts} on ${retryOn.join(" and ")}, \`initialBackoff\` ${backoffMs / 1_000}s, keepalive 1 s, its timeout 0.5 s`,
    open: (addresses) => openCaller(addresses, { hardened: true, retryOn }),
  },
];

async function openCaller(addresses: readonly string[], options: RoundRobinOptions): Promise<Caller> {
  const client = await openRoundRobin(addresses, options);
  return {
    call: () => askForOrder(client),
    sent: () => new Map(Array.from(statisticsOf(client), ([address, { started }]) => [address, started])),
    close: async () => client.close(),
  };
}
