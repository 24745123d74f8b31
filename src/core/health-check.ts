/** The contract of active health checks: whoever watches one node, and says whether it is fit to be called. */
import type { Dispatcher } from "undici";
import type { Address } from "./address.ts";
import type { Clock } from "./clock.ts";
import type { Node } from "./node.ts";
import type { Random } from "./random.ts";

/** The node that is checked, and what a check needs to reach it as calls do. */
export interface CheckTarget {
  /** The service that the node belongs to. */
  readonly service: string;
  readonly address: Address;
  /** The node itself, for a check that is made over the connections of a transport. */
  readonly node?: Node | undefined;
  /** Gives the Host header that the node's calls have; connections go to `address` whatever it says. */
  readonly origin: URL;
  /** The name that the certificate of an https node must carry. */
  readonly servername: string;
  /** Whom to trust and as whom to appear, PEM; the cluster's option `tls`. */
  readonly tls: {
    readonly ca?: string | Buffer | readonly (string | Buffer)[] | undefined;
    readonly cert?: string | Buffer | undefined;
    readonly key?: string | Buffer | undefined;
  };
  readonly clock: Clock;
  readonly random: Random;
  /**
   * The balancer's own connections to the node, for a check that is told to use them; undefined where there is no
   * balancer over the cluster. Asked anew for each probe.
   */
  dispatcher(): Dispatcher | undefined;
}

export interface CheckResult {
  readonly healthy: boolean;
  /** What a person would want to read: `status 503 (3 in a row)`, `NOT_SERVING`. Empty when healthy. */
  readonly detail: string;
}

/**
 * An active check. It watches each node on its own: by probes at intervals, or by a stream on which the node itself
 * tells of changes.
 *
 * @example
 * const allowed: HealthCheck = {
 *   name: "allowed",
 *   watch({ address }, report) {
 *     const look = () => report({ healthy: !isBarred(address.text), detail: "barred" });
 *     const timer = setInterval(look, 1_000).unref();
 *     return { [Symbol.dispose]: () => clearInterval(timer) };
 *   },
 * };
 */
export interface HealthCheck {
  readonly name: string;
  /**
   * Starts to watch one node. Until the first report the node counts as healthy.
   *
   * A report is a verdict, not a sample: counting how often in a row is the check's own work. It may come at any time,
   * and the same one again; a node whose connections were refused is tried at once when it is reported healthy.
   * What is no fault of the node (a shortage of our own, time in which this process was blocked) is not reported.
   *
   * @returns what ends the watch; no report is heeded after that.
   */
  watch(target: CheckTarget, report: (result: CheckResult) => void): Disposable;
}
