/** What is counted for each node and each service, and the words that label it: all of them short, closed lists. */
import type { ConnectionCounts } from "../core/observation.ts";
import type { FailureReason, IgnoredReason, Outcome } from "../core/outcome.ts";
import type { NodeState } from "../core/view.ts";
import { other } from "./series-cap.ts";

export type OutcomeKind = Outcome["kind"];

export const outcomeKinds: readonly OutcomeKind[] = ["success", "failure", "ignored"];

type Reason = "ok" | FailureReason | IgnoredReason;

/** A record, so that no reason can be left out: it would count as one that it is not. */
const outcomeOf: Readonly<Record<Reason, OutcomeKind>> = {
  ok: "success",
  refused: "failure",
  unreachable: "failure",
  connect: "failure",
  timeout: "failure",
  reset: "failure",
  status: "failure",
  overloaded: "failure",
  dependency: "failure",
  error: "failure",
  aborted: "ignored",
  shortage: "ignored",
  busy: "ignored",
  closing: "ignored",
  hedged: "ignored",
  deadline: "ignored",
  unsent: "ignored",
  call: "ignored",
};

/** Why attempts ended, each with the outcome that it belongs to. */
export const reasons: readonly (readonly [Reason, OutcomeKind])[] = Object.entries(outcomeOf) as [
  Reason,
  OutcomeKind,
][];

export const nodeStateNames: readonly NodeState[] = [
  "draining",
  "down",
  "ejected",
  "probing",
  "warming",
  "suspect",
  "ready",
];

const indexes: ReadonlyMap<string, number> = new Map(reasons.map(([reason], index) => [reason, index]));
/** For reasons of a program's own, from the option `classify`: a label must not take any text. */
const unknownReasons: Readonly<Record<OutcomeKind, number>> = {
  success: indexes.get("ok") ?? 0,
  failure: indexes.get("error") ?? 0,
  ignored: indexes.get("call") ?? 0,
};

/** Where in `reasons` an attempt's reason stands; one of the program's own counts as the plainest of its outcome. */
export function reasonIndex(reason: string, outcome: OutcomeKind): number {
  const index = indexes.get(reason);
  return index !== undefined && reasons[index]?.[1] === outcome ? index : unknownReasons[outcome];
}

export const noConnections: ConnectionCounts = { open: 0, idle: 0, connecting: 0, waiting: 0 };

/** One node, or all nodes of a service that have no row of their own. */
export class NodeRow<Sink> {
  readonly service: ServiceRow<Sink>;
  /** The address, or "other". */
  readonly node: string;
  /** Where the exporter puts what is not a plain count. */
  readonly sink: Sink;
  /** By the index of the reason. */
  readonly attempts: number[] = reasons.map(() => 0);
  ejections = 0;
  /** Counted since the figures were last read. */
  isFresh = true;

  // As last observed.

  isSeen = false;
  inflight = 0;
  /** By the index of the state: how many clusters see it so. */
  readonly states: number[] = nodeStateNames.map(() => 0);
  latencyMs: number | undefined = undefined;
  connections: ConnectionCounts | undefined = undefined;

  constructor(service: ServiceRow<Sink>, node: string, sink: Sink) {
    this.service = service;
    this.node = node;
    this.sink = sink;
  }

  get isOther(): boolean {
    return this.node === other;
  }

  /** Before the next observation. What was there once is reported as none: some readers keep the last value. */
  forget(): void {
    this.isSeen = false;
    this.inflight = 0;
    this.states.fill(0);
    this.latencyMs = undefined;
    if (this.connections !== undefined) this.connections = noConnections;
  }
}

export class ServiceRow<Sink> {
  readonly name: string;
  readonly nodes: Map<string, NodeRow<Sink>> = new Map();
  /** All other nodes. */
  rest: NodeRow<Sink> | undefined = undefined;
  readonly calls: Record<OutcomeKind, number> = { success: 0, failure: 0, ignored: 0 };
  retries = 0;
  /** By the code of the error. */
  readonly rejects: Map<string, number> = new Map();
  discoveryErrors = 0;
  isFresh = true;

  // As last observed.

  isSeen = false;
  readonly states: number[] = nodeStateNames.map(() => 0);
  failingOpen = false;
  discoveryAgeMs = 0;

  constructor(name: string) {
    this.name = name;
  }

  *rows(): Generator<NodeRow<Sink>> {
    yield* this.nodes.values();
    if (this.rest !== undefined) yield this.rest;
  }

  forget(): void {
    this.isSeen = false;
    this.states.fill(0);
    this.failingOpen = false;
    this.discoveryAgeMs = 0;
    for (const row of this.rows()) row.forget();
  }
}
