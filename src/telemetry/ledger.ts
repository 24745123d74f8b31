/**
 * The books that both exporters keep: counts from the events, the present state from observations, in a limited
 * number of rows.
 *
 * An attempt costs two look-ups and an addition; labels are made when somebody reads. A node or service that is gone
 * gives its row back once its last figures were read, or when another one needs it, unless `keepsRows`.
 */
import type {
  AttemptEndEvent,
  CallEndEvent,
  DiscoveryErrorEvent,
  NodeStateEvent,
  RejectEvent,
  RetryEvent,
} from "../core/events.ts";
import { addConnections, type ServiceObservation } from "../core/observation.ts";
import type { NodeView } from "../core/view.ts";
import { NodeRow, nodeStateNames, reasonIndex, ServiceRow } from "./rows.ts";
import { other, SeriesCap } from "./series-cap.ts";
import type { SeriesLimits } from "./series-options.ts";

export interface LedgerOptions<Sink> {
  readonly limits: SeriesLimits;
  /** Rows are for good: the reader never forgets a series, so that new ones in place of old ones would add up. */
  readonly keepsRows: boolean;
  /** What the exporter needs for each node row. */
  createSink(service: string, node: string): Sink;
  /** The row's series are to go. */
  removed(row: NodeRow<Sink>): void;
}

export class Ledger<Sink> {
  readonly #options: LedgerOptions<Sink>;
  readonly #services: Map<string, ServiceRow<Sink>> = new Map();
  readonly #serviceCap: SeriesCap<ServiceRow<Sink>>;
  readonly #nodeCap: SeriesCap<NodeRow<Sink>>;
  #rest: ServiceRow<Sink> | undefined = undefined;

  constructor(options: LedgerOptions<Sink>) {
    this.#options = options;
    this.#serviceCap = new SeriesCap(options.limits.maxServices, () => {});
    this.#nodeCap = new SeriesCap(options.limits.maxNodes, (row) => this.#drop(row));
  }

  *services(): Generator<ServiceRow<Sink>> {
    yield* this.#services.values();
    if (this.#rest !== undefined) yield this.#rest;
  }

  *rows(): Generator<NodeRow<Sink>> {
    for (const service of this.services()) yield* service.rows();
  }

  /** @returns the row that the attempt was counted in; undefined for a service that is left out. */
  attemptEnded({ service, address, reason, outcome }: AttemptEndEvent): NodeRow<Sink> | undefined {
    const row = this.#row(service, address);
    if (row === undefined) return undefined;
    const index = reasonIndex(reason, outcome);
    row.attempts[index] = (row.attempts[index] ?? 0) + 1;
    row.isFresh = true;
    return row;
  }

  callEnded({ service, outcome }: CallEndEvent): void {
    const row = this.#service(service);
    if (row === undefined) return;
    row.calls[outcome]++;
    row.isFresh = true;
  }

  retried({ service }: RetryEvent): void {
    const row = this.#service(service);
    if (row === undefined) return;
    row.retries++;
    row.isFresh = true;
  }

  rejected({ service, code }: RejectEvent): void {
    const row = this.#service(service);
    if (row === undefined) return;
    row.rejects.set(code, (row.rejects.get(code) ?? 0) + 1);
    row.isFresh = true;
  }

  discoveryFailed({ service }: DiscoveryErrorEvent): void {
    const row = this.#service(service);
    if (row === undefined) return;
    row.discoveryErrors++;
    row.isFresh = true;
  }

  stateChanged({ service, address, to }: NodeStateEvent): void {
    const known = this.#services.get(service)?.nodes.get(address);
    if (to === "gone") {
      if (known !== undefined && !this.#options.keepsRows) this.#nodeCap.retire(known);
      return;
    }
    if (known !== undefined) this.#nodeCap.revive(known);
    if (to !== "ejected" && to !== "down") return;
    const row = known ?? this.#row(service, address);
    if (row === undefined) return;
    row.ejections++;
    row.isFresh = true;
  }

  /** Takes over what all clusters say now, and lets go of the rows that nobody speaks of any more. */
  observe(observations: readonly ServiceObservation[]): void {
    for (const service of this.services()) service.forget();
    for (const observation of observations) this.#observeService(observation);
    if (!this.#options.keepsRows) this.#releaseGone();
    for (const service of this.services()) {
      service.isFresh = false;
      for (const row of service.rows()) row.isFresh = false;
    }
  }

  #observeService(observation: ServiceObservation): void {
    const service = this.#service(observation.service);
    if (service === undefined) return;
    service.isSeen = true;
    service.failingOpen ||= observation.failingOpen;
    service.discoveryAgeMs = Math.max(service.discoveryAgeMs, observation.discoveryAgeMs);
    for (const view of observation.nodes) {
      const row = this.#observeNode(service, view);
      const counts = observation.connections.get(view.address);
      if (counts !== undefined) row.connections = addConnections(row.connections, counts);
    }
  }

  #observeNode(service: ServiceRow<Sink>, view: NodeView): NodeRow<Sink> {
    const row = this.#nodeOf(service, view.address);
    const state = nodeStateNames.indexOf(view.state);
    row.isSeen = true;
    row.inflight += view.inflight;
    row.latencyMs = row.isOther ? undefined : view.latencyMs;
    row.states[state] = (row.states[state] ?? 0) + 1;
    service.states[state] = (service.states[state] ?? 0) + 1;
    return row;
  }

  /** What was counted since the last reading is still read once. */
  #releaseGone(): void {
    for (const service of this.#services.values()) {
      for (const row of [...service.rows()]) {
        if (row.isSeen || row.isFresh) continue;
        this.#nodeCap.release(row);
        this.#drop(row);
      }
      if (service.isSeen || service.isFresh || service.nodes.size > 0 || service.rest !== undefined) continue;
      this.#serviceCap.release(service);
      this.#services.delete(service.name);
    }
  }

  #drop(row: NodeRow<Sink>): void {
    if (row.isOther) row.service.rest = undefined;
    else row.service.nodes.delete(row.node);
    this.#options.removed(row);
  }

  #row(service: string, address: string): NodeRow<Sink> | undefined {
    const row = this.#service(service);
    return row === undefined ? undefined : this.#nodeOf(row, address);
  }

  #service(name: string): ServiceRow<Sink> | undefined {
    const known = this.#services.get(name);
    if (known !== undefined) return known;
    if (this.#options.limits.services?.has(name) === false) return undefined;
    const made = this.#serviceCap.claim(() => new ServiceRow(name));
    if (made !== undefined) {
      this.#services.set(name, made);
      return made;
    }
    this.#rest ??= new ServiceRow(other);
    return this.#rest;
  }

  #nodeOf(service: ServiceRow<Sink>, address: string): NodeRow<Sink> {
    const known = service.nodes.get(address);
    if (known !== undefined) return known;
    if (service !== this.#rest) {
      const made = this.#nodeCap.claim(() => this.#createRow(service, address));
      if (made !== undefined) {
        service.nodes.set(address, made);
        return made;
      }
    }
    service.rest ??= this.#createRow(service, other);
    return service.rest;
  }

  #createRow(service: ServiceRow<Sink>, node: string): NodeRow<Sink> {
    return new NodeRow(service, node, this.#options.createSink(service.name, node));
  }
}
