/**
 * Passive health: when the outcomes of real calls take a node out, and for how long.
 *
 * Pure decisions over a node's counts; the cluster acts on them. Two ways out:
 * - `down`: the node refused a connection or cannot be reached. Nobody is there, so one sign is enough and no cap
 *   applies.
 * - `ejected`: it answers badly, by failures in a row or by their share. Since that may be our own view of things,
 *   at most half of the nodes are out this way, and none while most nodes fail at once (then the cause is the
 *   caller, the network or a shared dependency, and taking nodes out would only move the load).
 *
 * Either way the last node in service stays. Sources: Envoy's outlier detection (consecutive failures, rate,
 * `base * k`), its complaints envoy#34796 and #27066 for the cap in nodes, Finagle for the single trial.
 */
import { exponentialMs } from "../core/backoff.ts";
import { type Health, type Node, recentWindowMs } from "../core/node.ts";
import type { Outcome } from "../core/outcome.ts";
import type { Random } from "../core/random.ts";

export interface EjectionRules {
  /** Failures in a row that eject. */
  readonly consecutiveFailures: number;
  /** Share of failed attempts within 10 s that ejects, in (0, 1]. */
  readonly failureRate: number;
  /** Attempts within 10 s below which the share says nothing. */
  readonly minimumCalls: number;
  /** The first penalty; it doubles with each further one. */
  readonly baseMs: number;
  readonly maxMs: number;
}

/** What else is going on in the cluster when one node fails. */
export interface Surroundings {
  /** Nodes that discovery and the program want called. */
  readonly total: number;
  /** Of these, in service now, the node in question included. */
  readonly inService: number;
  /** Of these, ejected or on the way back from it. */
  readonly ejected: number;
  /** Whether most nodes fail at this moment. */
  readonly mostFail: boolean;
}

export type Verdict = "stay" | "spare" | "down" | "eject";

/**
 * A refused node is looked at again sooner than one that answers badly: a restart takes seconds, and a trial that is
 * refused again costs one connect and fails no call, since it was never sent.
 */
const downBaseMs = 1_000;
const downMaxMs = 5_000;
/** Penalties come out up to a tenth shorter, so that nodes ejected together are not tried together. */
const jitter = 0.1;
/** Each such stretch of good service takes back one doubling (Envoy: one for each healthy interval of 10 s). */
const forgivenessMs = 10_000;
/** For how long a failure makes its node count as failing now. */
const failingForMs = 2_000;

/** What a failed attempt means for its node. `rules` is undefined where ejection is switched off. */
export function judge(
  node: Node,
  outcome: Outcome,
  rules: EjectionRules | undefined,
  surroundings: () => Surroundings,
  now: number,
): Verdict {
  if (outcome.kind !== "failure" || outcome.reason === "dependency") return "stay";
  if (outcome.reason === "refused" || outcome.reason === "unreachable") {
    return surroundings().inService > 1 ? "down" : "spare";
  }
  if (rules === undefined || !failsTooMuch(node, rules, now)) return "stay";
  const { total, inService, ejected, mostFail } = surroundings();
  if (inService <= 1) return "spare";
  if (mostFail || ejected >= Math.max(1, Math.floor(total / 2))) return "stay";
  return "eject";
}

function failsTooMuch(node: Node, rules: EjectionRules, now: number): boolean {
  if (node.consecutiveFailures >= rules.consecutiveFailures) return true;
  const calls = node.recentCalls.sum(now);
  return calls >= rules.minimumCalls && node.recentFailures.sum(now) >= rules.failureRate * calls;
}

/** Whether more than half of the nodes had their latest attempt fail just now. */
export function mostFail(nodes: Iterable<Node>, now: number): boolean {
  let failing = 0;
  let total = 0;
  for (const node of nodes) {
    if (node.drainCause !== undefined) continue;
    total++;
    if (node.consecutiveFailures > 0 && now - node.lastFailureAt < failingForMs) failing++;
  }
  return failing > total / 2;
}

/**
 * The state of a node that goes out now, and its new count of strikes.
 *
 * @param mostOut less than half of the nodes are left in service. Those carry too much, and the cause is a shared
 *   one, not the node's record: a refused node is then tried every second, which costs one connect.
 */
export function takeOut(
  node: Node,
  state: "down" | "ejected",
  reason: string,
  rules: EjectionRules | undefined,
  mostOut: boolean,
  now: number,
  random: Random,
): { readonly health: Health; readonly strikes: number } {
  const forgiven = Math.floor(Math.max(0, now - node.returnedAt) / forgivenessMs);
  const strikes = Math.max(0, node.strikes - (node.health.kind === "in" ? forgiven : 0));
  const step = state === "down" && mostOut ? 0 : strikes;
  const [baseMs, maxMs] =
    state === "ejected" && rules !== undefined ? [rules.baseMs, rules.maxMs] : [downBaseMs, downMaxMs];
  const fullMs = exponentialMs(step, baseMs, maxMs);
  const until = now + fullMs * (1 - jitter * random());
  return {
    health: { kind: "out", state, reason, since: now, until },
    // Strikes past the longest penalty would add nothing to it, and take long to be forgiven (so does Envoy).
    strikes: fullMs < maxMs ? step + 1 : step,
  };
}

/** What people read as the reason for an ejection. */
export function ejectionReason(node: Node, outcome: Outcome, rules: EjectionRules, now: number): string {
  if (node.consecutiveFailures >= rules.consecutiveFailures) {
    const count = Math.floor(node.consecutiveFailures);
    const what =
      outcome.reason === "overloaded" ? "too many refusals for load" : `${count} failures in a row`;
    return `${what}, the last: ${outcome.detail || outcome.reason}`;
  }
  const share = node.recentFailures.sum(now) / node.recentCalls.sum(now);
  return `${Math.round(share * 100)}% of attempts failed within ${recentWindowMs / 1_000} s`;
}
