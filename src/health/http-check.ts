/**
 * A check that asks each node over HTTP how it is, and goes by the status of the answer.
 *
 * Each probe makes a connection of its own and closes it: that connecting works is half of what calls need, and a
 * pool whose connections are all busy, or a dead one that nobody has noticed, must not decide over a node. A redirect
 * is not followed: its status counts as it is.
 *
 * @example
 * const orders = new Balancer({ name: "orders", discovery, health: { check: httpCheck({ path: "/health" }) } });
 */
import type { HealthCheck } from "../core/health-check.ts";
import { OptionReader, show } from "../core/option-reader.ts";
import { type PollOptions, resolvePolling } from "./check-options.ts";
import { checkHeaders, checkMethod, checkPath } from "./check-request.ts";
import { createHttpProbe, type StatusRange } from "./http-probe.ts";
import { Poller } from "./poller.ts";

export interface HttpCheckOptions extends PollOptions {
  /** What is asked for, with its query if it has one: `/health`. */
  readonly path: string;
  /** Default GET. */
  readonly method?: string | undefined;
  /** Sent along, over `user-agent: evenkeel-check`. The Host header is that of the node's calls unless named here. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Statuses that pass: single ones, and ranges `[from, to]`. Default `[[200, 299]]`. */
  readonly statuses?: readonly (number | readonly [from: number, to: number])[] | undefined;
  /**
   * `"own"` (default): each probe makes a connection and closes it. `"shared"`: probes go over the balancer's own pool
   * as calls do, which costs no handshake; one that gets no connection within `timeoutMs` then says nothing. Nodes that
   * speak HTTP/2 without TLS need it, as a connection of a probe's own speaks HTTP/1.1. A Cluster without a transport has
   * none to share, nor has one of grpc-js, and its probes make their own.
   */
  readonly connection?: "own" | "shared" | undefined;
}

/** @throws TypeError or RangeError that names the option and the value it got. */
export function httpCheck(given: HttpCheckOptions): HealthCheck {
  const options = new OptionReader(given, "httpCheck");
  const rules = resolvePolling(options);
  const probe = createHttpProbe({
    path: checkPath(options.string("path"), "httpCheck.path"),
    method: checkMethod(options.string("method") ?? "GET", "httpCheck.method"),
    headers: {
      "user-agent": "evenkeel-check",
      ...checkHeaders(options.value("headers"), "httpCheck.headers"),
    },
    statuses: checkStatuses(options.array("statuses", [[200, 299]])),
    isShared: options.word("connection", ["own", "shared"], "own") === "shared",
  });
  options.end();
  return {
    name: "httpCheck",
    watch: (target, report) => new Poller(target, rules, probe, report),
  };
}

function checkStatuses(given: readonly unknown[]): readonly StatusRange[] {
  if (given.length === 0) throw new RangeError("httpCheck.statuses must name at least one status, got none");
  return given.map((one, index) => {
    const range = typeof one === "number" ? [one, one] : one;
    const isRange =
      Array.isArray(range) && range.length === 2 && range.every(isStatus) && range[0] <= range[1];
    if (isRange) return range as unknown as StatusRange;
    throw new RangeError(
      `httpCheck.statuses[${index}] must be a status from 200 to 599, or [from, to], got ${show(one)}`,
    );
  });
}

function isStatus(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 200 && (value as number) <= 599;
}
