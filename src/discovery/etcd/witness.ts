/**
 * One key by which a store is known again after the connection to it was lost.
 *
 * Revision, term and cluster tell most stores that were wiped, but not all: one that started with the same settings
 * has the same cluster and term, and soon as many revisions as an old one that never had many. A key that was written
 * at the same revision under the same lease is not in two stores, as leases are numbered by the clock.
 */
import type { KeyEvent, KeyValue, RangeRequest, RangeResponse } from "./messages.ts";

export class Witness {
  /** The key that was written last. It may have been deleted since, and then no store confirms it. */
  #latest: KeyValue | undefined;

  listed(kvs: readonly KeyValue[]): void {
    let latest: KeyValue | undefined;
    for (const kv of kvs) {
      if (latest === undefined || Number(kv.modRevision) > Number(latest.modRevision)) latest = kv;
    }
    this.#keep(latest);
  }

  happened(events: readonly KeyEvent[]): void {
    const latest = events.findLast(({ type }) => type === "PUT");
    if (latest !== undefined) this.#keep(latest.kv);
  }

  /** What to ask a store that may be another one, which has to have been at this revision; undefined for nothing. */
  question(revision: number): RangeRequest | undefined {
    return this.#latest && { key: this.#latest.key, revision };
  }

  /** Whether this answer to the question comes from the store that was known. */
  confirms({ kvs }: RangeResponse): boolean {
    const [kv] = kvs;
    return kv?.modRevision === this.#latest?.modRevision && kv?.lease === this.#latest?.lease;
  }

  /** Copied, as the bytes are part of a whole page or message. */
  #keep(latest: KeyValue | undefined): void {
    this.#latest = latest && { ...latest, key: Buffer.from(latest.key), value: Buffer.alloc(0) };
  }
}
