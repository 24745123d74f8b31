/**
 * What goes to etcd and comes from it, as proto-loader makes it of the descriptor in protocol.ts.
 *
 * 64-bit numbers are decimal text: the ids of leases and clusters are above what a number holds exactly. Revisions
 * are not, ever: a store would have to take a million writes a second for 285 years.
 */

export interface ResponseHeader {
  readonly clusterId: string;
  readonly revision: string;
  readonly raftTerm: string;
}

export interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly modRevision: string;
  readonly lease: string;
}

export interface KeyEvent {
  readonly type: "PUT" | "DELETE";
  /** Of a deletion it has the key and the revision only. */
  readonly kv: KeyValue;
}

export interface RangeRequest {
  readonly key: Buffer;
  /** The first key that is not meant any more; without it only `key` is. */
  readonly rangeEnd?: Buffer;
  readonly limit?: number;
  readonly revision?: number;
}

export interface RangeResponse {
  readonly header: ResponseHeader;
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
}

export interface PutRequest {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly lease: string;
}

export interface WatchRequest {
  readonly createRequest?: {
    readonly key: Buffer;
    readonly rangeEnd: Buffer;
    readonly startRevision: number;
    readonly progressNotify: boolean;
    readonly fragment: boolean;
  };
  readonly cancelRequest?: { readonly watchId: string };
  readonly progressRequest?: Readonly<Record<string, never>>;
}

export interface WatchResponse {
  readonly header: ResponseHeader;
  readonly watchId: string;
  readonly created: boolean;
  readonly canceled: boolean;
  /** Not 0 when the watch asked for revisions that are gone. */
  readonly compactRevision: string;
  readonly cancelReason: string;
  /** More of the same revision follows. */
  readonly fragment: boolean;
  readonly events: readonly KeyEvent[];
}

export interface LeaseGrantResponse {
  readonly ID: string;
  readonly TTL: string;
  readonly error: string;
}

export interface LeaseKeepAliveResponse {
  readonly ID: string;
  /** Seconds left; 0 for a lease that is not known (any more). */
  readonly TTL: string;
}
