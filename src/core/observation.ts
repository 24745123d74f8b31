/**
 * How a service is at one moment, told when somebody asks for it: for gauges, which are read now and then and need no
 * event for each change.
 *
 * Whoever wants to know publishes a `Collection` on `evenkeel:collect`, and each live cluster adds its observation
 * before the publishing returns.
 */
import { type Channel, channel } from "node:diagnostics_channel";
import type { NodeView } from "./view.ts";

/** How far the set in use can be trusted to be what the source says now. */
export interface DiscoveryState {
  /**
   * `never`: no snapshot has come yet. `stale`: the source failed, or says something that is not believed, since
   * the last good one.
   */
  readonly state: "fresh" | "stale" | "never";
  /** In milliseconds since 1970; undefined unless stale. */
  readonly staleSince: number | undefined;
}

/** The connections of one node. */
export interface ConnectionCounts {
  /** That stand, idle ones included. */
  readonly open: number;
  /** Of these, those that carry no call. */
  readonly idle: number;
  /** That are being made. */
  readonly connecting: number;
  /** Calls that wait for a connection. */
  readonly waiting: number;
}

export interface ServiceObservation {
  readonly service: string;
  readonly nodes: readonly NodeView[];
  /** Every node is out, and calls go out anyway. */
  readonly failingOpen: boolean;
  readonly discovery: DiscoveryState;
  /** For how long the set in use has not been what the source says: 0 while fresh. */
  readonly discoveryAgeMs: number;
  /** By address, of the nodes whose transport counts them. */
  readonly connections: ReadonlyMap<string, ConnectionCounts>;
}

export interface Collection {
  add(observation: ServiceObservation): void;
}

export const collections: Channel<Collection> = channel("evenkeel:collect") as Channel<Collection>;

/** What all live clusters say now. */
export function collect(): readonly ServiceObservation[] {
  const observations: ServiceObservation[] = [];
  const collection: Collection = { add: (observation) => observations.push(observation) };
  collections.publish(collection);
  return observations;
}

/** Adds up what several transports count for one node. */
export function addConnections(
  left: ConnectionCounts | undefined,
  right: ConnectionCounts,
): ConnectionCounts {
  if (left === undefined) return right;
  return {
    open: left.open + right.open,
    idle: left.idle + right.idle,
    connecting: left.connecting + right.connecting,
    waiting: left.waiting + right.waiting,
  };
}
