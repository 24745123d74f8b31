/**
 * A program that closes all it has while the connection to its only node is still being made, which would go on for much
 * longer than the program may: it must then end by itself. Arguments: the node's address, and `tls` or `plain`.
 */
import { credentials } from "@grpc/grpc-js";
import { grpcBalancer } from "../../../src/grpc/index.ts";
import { statisticsOf } from "./channelz.ts";
import { OrdersClient } from "./clients.ts";

export interface CloseWhileConnectingReport {
  /** The connections that it had when it closed, none of which can have been made. */
  readonly connecting: number;
}

const [address = "", security] = process.argv.slice(2);
const balancer = grpcBalancer({ name: "orders", discovery: [address], timeouts: { connectMs: 60_000 } });
const client = new OrdersClient(
  balancer.target,
  security === "tls" ? credentials.createSsl() : credentials.createInsecure(),
  balancer.channelOptions,
);
// Its time, of which nothing depends: for the connection to get as far as it does.
await client.get({ deadline: Date.now() + 500 }).catch(() => {});
const connecting = statisticsOf(client).size;
client.close();
await balancer.close();
const report: CloseWhileConnectingReport = { connecting };
console.log(JSON.stringify(report));
