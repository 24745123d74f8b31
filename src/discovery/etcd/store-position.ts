/**
 * How far a store has come, and whether what answers is still that store.
 *
 * A data directory that was wiped, or restored from a backup, begins again at a low revision. etcd takes a watch
 * from a revision that is yet to come without complaint, so a client that goes on from where it was would hear
 * nothing until the new store gets there.
 */
import type { ResponseHeader } from "./messages.ts";

export interface StorePosition {
  readonly clusterId: string;
  readonly revision: number;
  readonly raftTerm: number;
}

export function positionOf(header: ResponseHeader): StorePosition {
  return {
    clusterId: header.clusterId,
    revision: Number(header.revision),
    raftTerm: Number(header.raftTerm),
  };
}

/**
 * Whether an answer from `now` may come from another store than the one that was at `seen`. A member that lags
 * behind looks the same; to list again is then one request too many, and nothing worse.
 */
export function isOtherStore(seen: StorePosition, now: StorePosition): boolean {
  // Terms only grow, too: a new store may have more revisions than the old one had, but hardly as many elections.
  return now.clusterId !== seen.clusterId || now.revision < seen.revision || now.raftTerm < seen.raftTerm;
}
