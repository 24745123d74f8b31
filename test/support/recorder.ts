/** Records what one service publishes on `diagnostics_channel`, with the time of each event. */
import diagnosticsChannel from "node:diagnostics_channel";
import type {
  AttemptEndEvent,
  AttemptStartEvent,
  DiscoveryErrorEvent,
  NodeStateEvent,
  RejectEvent,
  RetryEvent,
} from "../../src/index.ts";

/** An event and when it came, on `performance.now()`. */
export type Timed<Event> = Event & { readonly at: number };

export class Recorder implements Disposable {
  readonly starts: Timed<AttemptStartEvent>[] = [];
  readonly ends: Timed<AttemptEndEvent>[] = [];
  readonly retries: Timed<RetryEvent>[] = [];
  readonly states: Timed<NodeStateEvent>[] = [];
  readonly rejects: Timed<RejectEvent>[] = [];
  readonly discoveryErrors: Timed<DiscoveryErrorEvent>[] = [];
  readonly #unsubscribes: (() => void)[] = [];
  readonly #inFlight: Map<string, number> = new Map();

  /** @param service events of other services are left out. */
  constructor(service: string) {
    this.#record("evenkeel:attempt:start", service, this.starts, (event) => this.#count(event, 1));
    this.#record("evenkeel:attempt:end", service, this.ends, (event) => this.#count(event, -1));
    this.#record("evenkeel:retry", service, this.retries);
    this.#record("evenkeel:node:state", service, this.states);
    this.#record("evenkeel:reject", service, this.rejects);
    this.#record("evenkeel:discovery:error", service, this.discoveryErrors);
  }

  startsOn(address: string): readonly Timed<AttemptStartEvent>[] {
    return this.starts.filter((event) => event.address === address);
  }

  endsOn(address: string): readonly Timed<AttemptEndEvent>[] {
    return this.ends.filter((event) => event.address === address);
  }

  /** Calls of one method that are in flight at a node now. */
  inFlight(address: string, method: string): number {
    return this.#inFlight.get(`${method} ${address}`) ?? 0;
  }

  /** The changes of one node into one of the given states. */
  changesTo(address: string, ...states: readonly NodeStateEvent["to"][]): readonly Timed<NodeStateEvent>[] {
    return this.states.filter((event) => event.address === address && states.includes(event.to));
  }

  /** How often nodes were taken out because of outcomes. */
  get ejections(): number {
    return this.states.filter(({ to }) => to === "ejected" || to === "down").length;
  }

  [Symbol.dispose](): void {
    for (const unsubscribe of this.#unsubscribes) unsubscribe();
  }

  #count({ method, address }: AttemptStartEvent | AttemptEndEvent, change: number): void {
    const key = `${method} ${address}`;
    this.#inFlight.set(key, (this.#inFlight.get(key) ?? 0) + change);
  }

  #record<Event extends { readonly service: string }>(
    channel: string,
    service: string,
    into: Timed<Event>[],
    alsoTell?: (event: Event) => void,
  ): void {
    const listener = (message: unknown): void => {
      const event = message as Event;
      if (event.service !== service) return;
      into.push({ ...event, at: performance.now() });
      alsoTell?.(event);
    };
    diagnosticsChannel.subscribe(channel, listener);
    this.#unsubscribes.push(() => diagnosticsChannel.unsubscribe(channel, listener));
  }
}
