/**
 * `evenkeel/server`: the called side. Announces a server to registries for as long as it serves, stops it without losing
 * a call, and protects it from more than it can carry.
 *
 * @example
 * import { etcd } from "evenkeel/etcd";
 * import { closeOnSignals, protect, register } from "evenkeel/server";
 * const protection = protect();
 * const server = createServer(protection.listener(answer)).listen(0);
 * const registry = etcd({ endpoints: ["127.0.0.1:2379"] });
 * const registration = register({ registry, service: "orders", server, protection });
 * closeOnSignals(registration);
 */
export { callSignal } from "./call-signal.ts";
export type { FastifyPlugin } from "./fastify-adapter.ts";
export type { GrpcInterceptor, GrpcLibrary } from "./grpc-adapter.ts";
export type { HealthPaths } from "./health-endpoints.ts";
export type { HttpRequest, HttpResponse } from "./http-adapter.ts";
export type { RegisterOptions } from "./options.ts";
export { protect } from "./protect.ts";
export type { AdaptiveRules, ArrivedCall, ProtectOptions, ServerLimits } from "./protect-options.ts";
export type { Protection, ProtectionStatus } from "./protection.ts";
export { register } from "./register.ts";
export type { Registration } from "./registration.ts";
export type { RegisteredServer } from "./served.ts";
export { type Closable, closeOnSignals, type SignalOptions } from "./signals.ts";
