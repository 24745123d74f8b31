/**
 * `evenkeel/server`: announces a server to registries for as long as it serves, and stops it without losing a call.
 *
 * @example
 * import { etcd } from "evenkeel/etcd";
 * import { closeOnSignals, register } from "evenkeel/server";
 * const server = createServer(answer).listen(0);
 * const registration = register({ registry: etcd({ endpoints: ["127.0.0.1:2379"] }), service: "orders", server });
 * closeOnSignals(registration);
 */
export type { RegisterOptions } from "./options.ts";
export { register } from "./register.ts";
export type { Registration } from "./registration.ts";
export type { RegisteredServer } from "./served.ts";
export { type Closable, closeOnSignals, type SignalOptions } from "./signals.ts";
