/**
 * `evenkeel/connect`: the same cluster under the HTTP/2 transports of @connectrpc/connect-node.
 *
 * @example
 * import { connectBalancer } from "evenkeel/connect";
 * const orders = connectBalancer({ name: "orders", discovery: ["10.0.0.1:8080", "10.0.0.2:8080"] });
 * const client = createClient(Orders, createGrpcTransport(orders.transportOptions));
 */
export {
  type ConnectBalancer,
  type ConnectBalancerOptions,
  type ConnectTransportOptions,
  connectBalancer,
} from "./connect-balancer.ts";
