/** What one connection to one member of etcd can do, as those see it who use it. See grpc-session.ts. */
import type { PutRequest, RangeRequest, RangeResponse } from "./messages.ts";
import type { WatchStream } from "./watch-stream.ts";

/**
 * All calls go to one member. A failure of the member or of the way to it ends the whole connection; other failures
 * (`failureOf`) reject the call alone. A token that has expired is renewed, and the call made again.
 */
export interface Session {
  /** All watches, on one stream; it is opened when it is first asked for. */
  readonly watches: WatchStream;
  range(request: RangeRequest): Promise<RangeResponse>;
  put(request: PutRequest): Promise<void>;
  /** @returns the lease's id, and for how long it was granted. */
  grant(ttlSeconds: number): Promise<{ readonly id: string; readonly ttlSeconds: number }>;
  /** @returns how many seconds the lease has from now; 0 when there is no such lease any more. */
  keepAlive(lease: string): Promise<number>;
  /** Ends a lease, and with it every key that was put under it. */
  revoke(lease: string): Promise<void>;
  /** Gives the connection up: `error` is what its users are told. */
  fail(error: Error): void;
  close(): void;
}
