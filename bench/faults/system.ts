/** What the fault bench drives calls through, the same for every system. */
import type { Protocol } from "./instance.ts";

export interface System {
  readonly name: string;
  readonly protocol: Protocol;
  /** What it is given besides the addresses and the total timeout. */
  readonly settings: string;
  open(addresses: readonly string[]): Promise<Caller>;
}

export interface Caller {
  /** One call, to the end of its body. Rejects on an error, a timeout, a status from 500 on or a code but OK. */
  call(): Promise<void>;
  /** Requests handed to each address so far, retries included, as counted on the caller's side. */
  sent(): ReadonlyMap<string, number>;
  /** Ends everything; may hang. */
  close(): Promise<unknown>;
}
