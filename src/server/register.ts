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
import { type RegisterOptions, resolveRegisterOptions } from "./options.ts";
import { Registration } from "./registration.ts";

export type { RegisteredServer } from "./served.ts";
export { type Closable, closeOnSignals, type SignalOptions } from "./signals.ts";
export type { RegisterOptions, Registration };

/**
 * Announces a server once it listens and its `check` says yes, under the port that it is really bound to, and keeps it
 * announced until the registration is closed: by `close()`, at the end of an `await using`, or by `closeOnSignals`.
 *
 * Closing takes it out of the registries (at most `deregisterMs`), serves on for `drainMs` while each answer says
 * `Connection: close` and each HTTP/2 session gets its GOAWAY, then closes the server, waits for what is in flight, and
 * after `closeMs` cuts off the rest. Errors are published on `evenkeel:registration:error`.
 *
 * @throws TypeError or RangeError that names the option and the value it got.
 */
export function register(options: RegisterOptions): Registration {
  return new Registration(resolveRegisterOptions(options));
}
