/**
 * `evenkeel/grpc`: the same cluster inside the channels of @grpc/grpc-js.
 *
 * @example
 * import { grpcBalancer } from "evenkeel/grpc";
 * const orders = grpcBalancer({ name: "orders", discovery: ["10.0.0.1:50051", "10.0.0.2:50051"] });
 * const client = new OrdersClient(orders.target, credentials.createInsecure(), orders.channelOptions);
 */
export {
  type GrpcBalancer,
  type GrpcBalancerOptions,
  type GrpcChannelOptions,
  grpcBalancer,
} from "./grpc-balancer.ts";
export type { GrpcBalancerView } from "./grpc-balancer-view.ts";
export { type GrpcCheckOptions, grpcCheck } from "./grpc-check.ts";
export { type GrpcPolicy, grpcPolicy } from "./grpc-policy.ts";
