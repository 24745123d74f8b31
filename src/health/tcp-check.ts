/**
 * A check that opens a connection and closes it again, for nodes that have nothing to ask for their health.
 *
 * An https node has to complete the TLS handshake with a valid certificate. Over plain TCP and Unix sockets it is the
 * node's kernel that accepts: a process that hangs still passes, so `httpCheck` says more where it can be used.
 *
 * @example
 * const orders = new Balancer({ name: "orders", discovery, health: { check: tcpCheck({ intervalMs: 2_000 }) } });
 */
import { outcomeOfError } from "../core/classify.ts";
import type { HealthCheck } from "../core/health-check.ts";
import { OptionReader } from "../core/option-reader.ts";
import { success } from "../core/outcome.ts";
import { type PollOptions, resolvePolling } from "./check-options.ts";
import { openConnection } from "./connection.ts";
import { Poller, type Probe } from "./poller.ts";

export interface TcpCheckOptions extends PollOptions {}

/** @throws TypeError or RangeError that names the option and the value it got. */
export function tcpCheck(given: TcpCheckOptions = {}): HealthCheck {
  const options = new OptionReader(given, "tcpCheck");
  const rules = resolvePolling(options);
  options.end();
  return {
    name: "tcpCheck",
    watch: (target, report) => new Poller(target, rules, probe, report),
  };
}

const probe: Probe = (target, end) => {
  const socket = openConnection(target, (error) => {
    // Once all is sent: with the end of the handshake cut off, the node would log an error for each probe.
    socket.destroySoon();
    end(error === null ? success : outcomeOfError(error));
  });
  return { isWaitingForNode: true, cancel: () => socket.destroy() };
};
