/** `protect()`: a server that knows when to say no. */
import { type ProtectOptions, resolveProtectOptions } from "./protect-options.ts";
import { Protection } from "./protection.ts";

/**
 * Protects the server of this process, whatever it is made with. One is enough for a process, also where it has several
 * servers: they share an event loop.
 *
 * A handler runs in the context of the call that it answers: calls through Evenkeel inherit its deadline and priority and
 * are given up when its caller has gone. A call is refused before its work starts when its deadline is over (504,
 * DEADLINE_EXCEEDED) or the process is overloaded (503, RESOURCE_EXHAUSTED), the least important first. Answers tell the
 * load. `/livez` and `/readyz` answer for the process.
 *
 * @throws TypeError or RangeError that names the option and the value it got.
 *
 * @example
 * const protection = protect({ deadlineHeader: "x-timeout-ms" });
 * const server = createServer(protection.listener(answer)).listen(8080);
 * closeOnSignals(register({ registry, service: "orders", server, protection }));
 */
export function protect(options: ProtectOptions = {}): Protection {
  return new Protection(resolveProtectOptions(options));
}
