/** An etcd in memory, with revisions, watches and leases, for unit tests of what talks to one. */

import type { Clock } from "../core/clock.ts";
import { EtcdError } from "../discovery/etcd/failure.ts";
import type { KeyRange } from "../discovery/etcd/key-range.ts";
import type {
  KeyEvent,
  KeyValue,
  PutRequest,
  RangeRequest,
  RangeResponse,
  ResponseHeader,
  WatchRequest,
  WatchResponse,
} from "../discovery/etcd/messages.ts";
import type { Session } from "../discovery/etcd/session.ts";
import { WatchStream } from "../discovery/etcd/watch-stream.ts";

export class FakeEtcd {
  readonly #clock: Clock;
  /** All events since the beginning; those up to `#compacted` are gone. */
  #history: KeyEvent[] = [];
  #compacted = 0;
  #revision = 1;
  #raftTerm = 2;
  #leases = 0;
  readonly leases: Set<string> = new Set();
  readonly sessions: Set<FakeSession> = new Set();
  /** What every connection attempt fails with. */
  refuses: Error | undefined;
  /** What every list fails with. */
  denies: Error | undefined;
  /** What the next requests for a watch are refused with, one after another. */
  readonly refusedWatches: string[] = [];
  /** How many events one answer holds at most; the rest of a revision follows as fragments. */
  eventsPerAnswer: number = Number.POSITIVE_INFINITY;
  /** How often the whole was listed, and which members were asked for a connection. */
  lists = 0;
  readonly opened: string[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get header(): ResponseHeader {
    return { clusterId: "1", revision: String(this.#revision), raftTerm: String(this.#raftTerm) };
  }

  get revision(): number {
    return this.#revision;
  }

  /** The present keys in their order. */
  get keys(): readonly string[] {
    return [...this.#present().keys()].sort();
  }

  put(key: string, value: string, lease = "0"): void {
    this.transact([["PUT", key, value]], lease);
  }

  remove(...keys: readonly string[]): void {
    this.transact(keys.map((key) => ["DELETE", key, ""]));
  }

  /** Several changes at one revision. */
  transact(changes: readonly (readonly ["PUT" | "DELETE", key: string, value: string])[], lease = "0"): void {
    this.#revision++;
    for (const [type, key, value] of changes) {
      this.#history.push({
        type,
        kv: { key: Buffer.from(key), value: Buffer.from(value), modRevision: String(this.#revision), lease },
      });
    }
    for (const session of this.sessions) session.flush();
  }

  compact(): void {
    this.#compacted = this.#revision;
  }

  /** Begins anew, as with an empty data directory. */
  wipe(): void {
    this.#history = [];
    this.#compacted = 0;
    this.#revision = 1;
    this.leases.clear();
  }

  /** Ends a lease, and its keys with it. */
  expire(lease: string): void {
    this.leases.delete(lease);
    const keys = [...this.#present().values()].filter((kv) => kv.lease === lease);
    if (keys.length > 0) this.remove(...keys.map((kv) => kv.key.toString()));
  }

  /** Ends all connections. */
  disconnect(error: Error = new EtcdError("connection", "dropped")): void {
    for (const session of [...this.sessions]) session.fail(error);
  }

  async open(member: string, ended: (error: Error) => void): Promise<FakeSession> {
    this.opened.push(member);
    if (this.refuses !== undefined) throw this.refuses;
    const session = new FakeSession(this, this.#clock, ended);
    this.sessions.add(session);
    return session;
  }

  range({ key, rangeEnd, limit = 0, revision = this.#revision }: RangeRequest): RangeResponse {
    if (rangeEnd !== undefined) this.lists++;
    if (this.denies !== undefined) throw this.denies;
    if (revision < this.#compacted) throw new EtcdError("compacted", "required revision has been compacted");
    if (revision > this.#revision) throw new EtcdError("other", "required revision is a future revision");
    const all = [...this.#present(revision).values()]
      .filter((kv) => isWithin(kv.key, key, rangeEnd))
      .sort((a, b) => a.key.compare(b.key));
    const kvs = limit === 0 ? all : all.slice(0, limit);
    return { header: this.header, kvs, more: kvs.length < all.length };
  }

  grant(): string {
    const id = String(++this.#leases);
    this.leases.add(id);
    return id;
  }

  /** Events of a range from a revision on, or the first revision that there still is. */
  since(range: KeyRange, revision: number): readonly KeyEvent[] | number {
    if (revision <= this.#compacted) return this.#compacted;
    return this.#history.filter(
      ({ kv }) => Number(kv.modRevision) >= revision && isWithin(kv.key, range.key, range.rangeEnd),
    );
  }

  #present(revision: number = this.#revision): Map<string, KeyValue> {
    const present = new Map<string, KeyValue>();
    for (const { type, kv } of this.#history) {
      if (Number(kv.modRevision) > revision) break;
      if (type === "PUT") present.set(kv.key.toString(), kv);
      else present.delete(kv.key.toString());
    }
    return present;
  }
}

interface FakeWatch {
  readonly range: KeyRange;
  next: number;
}

export class FakeSession implements Session {
  readonly watches: WatchStream;
  readonly #etcd: FakeEtcd;
  readonly #watching: Map<string, FakeWatch> = new Map();
  #ended: ((error: Error) => void) | undefined;
  #ids = 0;
  /** Says nothing any more. */
  isMute = false;

  constructor(etcd: FakeEtcd, clock: Clock, ended: (error: Error) => void) {
    this.#etcd = etcd;
    this.#ended = ended;
    this.watches = new WatchStream({
      clock,
      send: (request) => queueMicrotask(() => this.#asked(request)),
      failed: (error) => this.fail(error),
    });
  }

  get watching(): number {
    return this.#watching.size;
  }

  async range(request: RangeRequest): Promise<RangeResponse> {
    this.#mustBeOpen();
    return this.#etcd.range(request);
  }

  async put({ key, value, lease }: PutRequest): Promise<void> {
    this.#mustBeOpen();
    if (!this.#etcd.leases.has(lease)) throw new EtcdError("lease", "requested lease not found");
    this.#etcd.put(key.toString(), value.toString(), lease);
  }

  async grant(ttlSeconds: number): Promise<{ readonly id: string; readonly ttlSeconds: number }> {
    this.#mustBeOpen();
    return { id: this.#etcd.grant(), ttlSeconds };
  }

  async keepAlive(lease: string): Promise<number> {
    this.#mustBeOpen();
    return this.#etcd.leases.has(lease) ? 15 : 0;
  }

  async revoke(lease: string): Promise<void> {
    this.#mustBeOpen();
    if (!this.#etcd.leases.has(lease)) throw new EtcdError("lease", "requested lease not found");
    this.#etcd.expire(lease);
  }

  /** Delivers what has happened since. */
  flush(): void {
    for (const [watchId, watch] of this.#watching) this.#deliver(watchId, watch);
  }

  fail(error: Error): void {
    const ended = this.#ended;
    this.close();
    ended?.(error);
  }

  close(): void {
    this.#ended = undefined;
    this.#watching.clear();
    this.#etcd.sessions.delete(this);
    this.watches.close();
  }

  /** Sends an answer as it is. */
  answer(response: Partial<WatchResponse>): void {
    if (!this.isMute) this.watches.received({ ...plain, header: this.#etcd.header, ...response });
  }

  #asked({ createRequest, cancelRequest, progressRequest }: WatchRequest): void {
    if (this.#ended === undefined) return;
    if (cancelRequest !== undefined) this.#watching.delete(cancelRequest.watchId);
    if (progressRequest !== undefined) this.answer({ watchId: "-1" });
    if (createRequest === undefined) return;
    const cancelReason = this.#etcd.refusedWatches.shift();
    if (cancelReason !== undefined) {
      this.answer({ watchId: "-1", created: true, canceled: true, cancelReason });
      return;
    }
    const watchId = String(this.#ids++);
    const watch = { range: createRequest, next: createRequest.startRevision };
    this.#watching.set(watchId, watch);
    this.answer({ watchId, created: true });
    if (this.#watching.has(watchId)) this.#deliver(watchId, watch);
  }

  #deliver(watchId: string, watch: FakeWatch): void {
    const events = this.#etcd.since(watch.range, watch.next);
    if (typeof events === "number") {
      this.#watching.delete(watchId);
      this.answer({ watchId, canceled: true, compactRevision: String(events) });
      return;
    }
    watch.next = Math.max(watch.next, this.#etcd.revision + 1);
    const size = Math.min(events.length, this.#etcd.eventsPerAnswer);
    for (let at = 0; at < events.length; at += size) {
      if (this.#ended === undefined) return;
      const batch = events.slice(at, at + size);
      const follows = events[at + size];
      const fragment = follows !== undefined && follows.kv.modRevision === batch.at(-1)?.kv.modRevision;
      this.answer({ watchId, events: batch, fragment });
    }
  }

  #mustBeOpen(): void {
    if (this.#ended === undefined) throw new EtcdError("connection", "the connection was closed");
  }
}

const plain: Omit<WatchResponse, "header"> = {
  watchId: "0",
  created: false,
  canceled: false,
  compactRevision: "0",
  cancelReason: "",
  fragment: false,
  events: [],
};

function isWithin(key: Buffer, from: Buffer, end: Buffer | undefined): boolean {
  return end === undefined ? key.equals(from) : key.compare(from) >= 0 && key.compare(end) < 0;
}
