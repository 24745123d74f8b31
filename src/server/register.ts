/** `register()`: a server is announced for as long as it serves. */
import { type RegisterOptions, resolveRegisterOptions } from "./options.ts";
import { Registration } from "./registration.ts";

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
