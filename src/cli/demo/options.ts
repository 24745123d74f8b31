/** The options of `evenkeel demo`, and everything about a run that does not change while it lasts. */
import { numberOption, parseOptions, UsageError } from "../usage.ts";

export interface DemoOptions {
  /** Calls per second, to each of the two systems. */
  readonly rate: number;
  readonly phaseSeconds: number;
  /** Whether undici's BalancedPool runs beside it. */
  readonly withPeer: boolean;
  readonly json: boolean;
  /** Whether it is the chain of three services that is shown. */
  readonly chain: boolean;
  /** Where the nodes are announced: a watched file, or a real etcd. */
  readonly registry: "file" | "etcd";
}

/** Five nodes are at 7% of what they can carry at the default rate, and three at 12%: load is not the trouble. */
export const workMs = 5;
export const workers = 4;
export const slowFactor = 10;

/** Both systems: a call that takes longer has failed. */
export const totalMs = 2_000;
export const attemptMs = 300;
export const retryStatuses: readonly number[] = [500, 502, 503, 504];

/**
 * The three nodes that are left while two are in trouble carry 2,400 calls per second. Near that the demo would show
 * an overload, which is another story than a fault.
 */
const mostCalls = 1_000;
/**
 * 600 calls per second for both systems take about a third of one core, servers included; seven seconds for each of
 * six phases leave room for starting and stopping within 50 s.
 */
const rateRange = { default: 300, min: 1, max: mostCalls };
const phaseSecondsRange = { default: 7, min: 0.5, max: 600 };

export const help: string = `evenkeel demo: calls through trouble

Starts five service processes, announces them in a watched file, or in a real etcd that is killed on the way, and
calls them through a Balancer at a steady rate, while nodes get slow, die, fail, freeze and come back. undici's BalancedPool meets the same faults at the same time
over five processes of its own. Exits with 0 if no call through Evenkeel failed, else with 1.

With --chain: A calls B, B calls C, each a process or two, while all of C freezes and comes back, with Evenkeel on both
sides of each call and over plain undici. Exits with 0 if no call failed through Evenkeel that does not need C.

Usage: evenkeel demo [options]

Options:
  --chain                    three services that call each other, in place of one
  --rate <calls>             calls per second to each system (default ${rateRange.default})
  --phase-seconds <seconds>  how long each phase lasts, of six or three (default ${phaseSecondsRange.default})
  --only evenkeel            without BalancedPool, or the plain chain, beside it
  --registry etcd            announce the nodes in an etcd of the demo's own, in place of a watched file
  --json                     print nothing but the results, as JSON, at the end
  -h, --help                 this text
`;

/** @returns undefined when help is asked for. @throws UsageError */
export function readOptions(args: readonly string[]): DemoOptions | undefined {
  const given = parseOptions(args, {
    rate: { type: "string" },
    "phase-seconds": { type: "string" },
    only: { type: "string" },
    registry: { type: "string" },
    json: { type: "boolean" },
    chain: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  });
  if (given.help === true) return undefined;
  if (given.only !== undefined && given.only !== "evenkeel") {
    throw new UsageError(`--only must be "evenkeel", got "${given.only}"`);
  }
  const { registry = "file" } = given;
  if (registry !== "file" && registry !== "etcd") {
    throw new UsageError(`--registry must be "etcd" or "file", got "${registry}"`);
  }
  if (given.chain === true && given.registry !== undefined) {
    throw new UsageError("--registry is for the demo without --chain");
  }
  return {
    chain: given.chain === true,
    registry,
    rate: numberOption("--rate", given.rate, rateRange),
    phaseSeconds: numberOption("--phase-seconds", given["phase-seconds"], phaseSecondsRange),
    withPeer: given.only === undefined,
    json: given.json === true,
  };
}
