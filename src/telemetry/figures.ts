/**
 * The figures that both exporters give, in one list: what each is called, what it means, and how it is read from the
 * books. Only the histograms are their own, as they have to take each attempt when it ends.
 */
import { type NodeRow, nodeStateNames, outcomeKinds, reasons, type ServiceRow } from "./rows.ts";

export type LabelName = "service" | "node" | "outcome" | "reason" | "code" | "state";

export type Labels = Readonly<Partial<Record<LabelName, string>>>;

/** What is read of a books. */
export interface Books {
  services(): Iterable<ServiceRow<unknown>>;
  rows(): Iterable<NodeRow<unknown>>;
}

type Emit = (labels: Labels, value: number) => void;

export interface Figure {
  /** In words: `discovery age`. OpenTelemetry joins them by dots, Prometheus by underscores. */
  readonly name: readonly string[];
  /** `sum`: a gauge whose values add up over processes. */
  readonly kind: "counter" | "sum" | "gauge";
  /** In UCUM, as OpenTelemetry has it. */
  readonly unit: string;
  readonly help: string;
  readonly labels: readonly LabelName[];
  read(books: Books, emit: Emit): void;
}

/** The boundaries that OpenTelemetry's HTTP conventions advise for durations, in seconds. */
export const durationBuckets: readonly number[] = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
];

export const figures: readonly Figure[] = [
  {
    name: ["calls"],
    kind: "counter",
    unit: "{call}",
    help: "Calls that ended, by how they ended for the caller, retries included",
    labels: ["service", "outcome"],
    read(books, emit) {
      for (const { name: service, calls } of books.services()) {
        for (const outcome of outcomeKinds) emit({ service, outcome }, calls[outcome]);
      }
    },
  },
  {
    name: ["attempts"],
    kind: "counter",
    unit: "{attempt}",
    help: "Attempts that ended, by outcome and reason",
    labels: ["service", "node", "outcome", "reason"],
    read(books, emit) {
      for (const { service, node, attempts } of books.rows()) {
        for (const [index, [reason, outcome]] of reasons.entries()) {
          const count = attempts[index] ?? 0;
          // Without its zero a first success would not show as an increase.
          if (count > 0 || reason === "ok") emit({ service: service.name, node, outcome, reason }, count);
        }
      }
    },
  },
  {
    name: ["retries"],
    kind: "counter",
    unit: "{retry}",
    help: "Failed attempts that another attempt followed",
    labels: ["service"],
    read(books, emit) {
      for (const { name: service, retries } of books.services()) emit({ service }, retries);
    },
  },
  {
    name: ["rejects"],
    kind: "counter",
    unit: "{call}",
    help: "Calls refused because nothing could be sent for them, by error code",
    labels: ["service", "code"],
    read(books, emit) {
      for (const { name: service, rejects } of books.services()) {
        for (const [code, count] of rejects) emit({ service, code }, count);
      }
    },
  },
  {
    name: ["ejections"],
    kind: "counter",
    unit: "{ejection}",
    help: "How often a node was taken out because of its attempts (ejected or down)",
    labels: ["service", "node"],
    read(books, emit) {
      for (const { service, node, ejections } of books.rows())
        emit({ service: service.name, node }, ejections);
    },
  },
  {
    name: ["inflight"],
    kind: "sum",
    unit: "{attempt}",
    help: "Attempts in flight, to the end of their bodies",
    labels: ["service", "node"],
    read(books, emit) {
      for (const { service, node, inflight } of books.rows()) emit({ service: service.name, node }, inflight);
    },
  },
  {
    name: ["node", "state"],
    kind: "sum",
    unit: "{node}",
    help: "1 for the state that a node is in, 0 for the others",
    labels: ["service", "node", "state"],
    read(books, emit) {
      for (const { service, node, states, isOther } of books.rows()) {
        if (isOther) continue;
        for (const [index, state] of nodeStateNames.entries()) {
          emit({ service: service.name, node, state }, states[index] ?? 0);
        }
      }
    },
  },
  {
    name: ["nodes"],
    kind: "sum",
    unit: "{node}",
    help: "Nodes in each state, those without series of their own included",
    labels: ["service", "state"],
    read(books, emit) {
      for (const { name: service, states } of books.services()) {
        for (const [index, state] of nodeStateNames.entries()) emit({ service, state }, states[index] ?? 0);
      }
    },
  },
  {
    name: ["node", "latency"],
    kind: "gauge",
    unit: "s",
    help: "Time to the final headers that is expected of a node, as the policy sees it",
    labels: ["service", "node"],
    read(books, emit) {
      for (const { service, node, latencyMs } of books.rows()) {
        if (latencyMs !== undefined) emit({ service: service.name, node }, latencyMs / 1_000);
      }
    },
  },
  {
    name: ["connections"],
    kind: "sum",
    unit: "{connection}",
    help: "Connections: open (idle ones included), idle, connecting; waiting: calls that wait for one",
    labels: ["service", "node", "state"],
    read(books, emit) {
      for (const { service, node, connections } of books.rows()) {
        if (connections === undefined) continue;
        const { open, idle, connecting, waiting } = connections;
        for (const [state, count] of Object.entries({ open, idle, connecting, waiting })) {
          emit({ service: service.name, node, state }, count);
        }
      }
    },
  },
  {
    name: ["discovery", "age"],
    kind: "gauge",
    unit: "s",
    help: "For how long the set of nodes has not been what discovery says; 0 while fresh",
    labels: ["service"],
    read(books, emit) {
      for (const { name: service, discoveryAgeMs } of books.services()) {
        emit({ service }, discoveryAgeMs / 1_000);
      }
    },
  },
  {
    name: ["discovery", "errors"],
    kind: "counter",
    unit: "{error}",
    help: "Failures of discovery, refused endpoints and doubted sets",
    labels: ["service"],
    read(books, emit) {
      for (const { name: service, discoveryErrors } of books.services()) emit({ service }, discoveryErrors);
    },
  },
  {
    name: ["failing_open"],
    kind: "gauge",
    unit: "1",
    help: "1 while every node is out and calls go out anyway",
    labels: ["service"],
    read(books, emit) {
      for (const { name: service, failingOpen } of books.services()) emit({ service }, failingOpen ? 1 : 0);
    },
  },
];
