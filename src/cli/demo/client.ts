/** What the demo drives calls through: a balancer over the nodes of one service. */
import type { NodeView } from "../../index.ts";

export interface Client {
  readonly name: string;
  /** How many requests were sent to each address so far, retries included. */
  readonly attempts: ReadonlyMap<string, number>;
  /** How it sees its nodes, if it can tell. */
  readonly views: readonly NodeView[];
  /** Tells it which addresses there are now. */
  announce(addresses: readonly string[]): Promise<void>;
  /** One call, to the end of its body. Rejects when it failed: an error, no answer in time, or a status from 500 on. */
  call(): Promise<void>;
  /** Ends everything, within a bounded time. */
  close(): Promise<void>;
}

/** Counts one more request for an address. */
export function count(attempts: Map<string, number>, address: string): void {
  attempts.set(address, (attempts.get(address) ?? 0) + 1);
}

/** @throws Error for a status from 500 on. */
export function expectGood(statusCode: number): void {
  if (statusCode >= 500)
    throw Object.assign(new Error(`status ${statusCode}`), { code: `status ${statusCode}` });
}

/** Waits for `done`, but not for ever. */
export async function within(ms: number, done: Promise<unknown>): Promise<boolean> {
  const { promise: expired, resolve: expire } = Promise.withResolvers<boolean>();
  const timer = setTimeout(expire, ms, false);
  try {
    return await Promise.race([done.then(() => true), expired]);
  } finally {
    clearTimeout(timer);
  }
}
