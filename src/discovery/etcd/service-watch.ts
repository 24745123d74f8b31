/**
 * One watched service: lists it, follows the changes, and goes on after whatever ends the connection.
 *
 * What happens is put into an outbox in its order, since an error makes the set stale and a set makes it fresh.
 */

import { fullJitterMs } from "../../core/backoff.ts";
import type { Clock, Timer } from "../../core/clock.ts";
import type { Endpoint } from "../../core/endpoint.ts";
import type { Random } from "../../core/random.ts";
import { EtcdError } from "./failure.ts";
import type { EtcdEntry } from "./format.ts";
import { type KeyRange, rangeOf } from "./key-range.ts";
import { type Change, KeyedEndpoints } from "./keyed-endpoints.ts";
import type { LinkUser } from "./link.ts";
import { listRange } from "./list-range.ts";
import type { WatchResponse } from "./messages.ts";
import { RangeWatch } from "./range-watch.ts";
import type { Session } from "./session.ts";
import type { Subscriber } from "./watch-stream.ts";

export interface ServiceWatchOptions {
  readonly prefix: string;
  readonly decode: (entry: EtcdEntry) => Endpoint | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
  /** Called when the outbox has something. */
  wake(): void;
}

/** What is to be said next: an error, or that the set is the one to use. */
export type News = { readonly error: Error } | { readonly endpoints: readonly Endpoint[] };

export class ServiceWatch implements LinkUser, Subscriber {
  readonly range: KeyRange;
  readonly #options: ServiceWatchOptions;
  readonly #place: RangeWatch = new RangeWatch();
  readonly #set: KeyedEndpoints;
  /** In order; "set" stands for the set as it is when it is taken out. */
  readonly #outbox: (Error | "set")[] = [];
  #session: Session | undefined;
  #retry: Timer | undefined;
  /** Refusals in a row, which are no failures of the connection. */
  #refusals = 0;
  #wasUnauthorized = false;
  /** The last complaint, so that it is not made again with each attempt of one outage. */
  #complaint: string | undefined;
  /** No set went out since the last complaint: the next good moment must send one, changed or not. */
  #isStale = true;

  constructor(options: ServiceWatchOptions) {
    this.#options = options;
    this.range = rangeOf(options.prefix);
    this.#set = new KeyedEndpoints(options.decode);
  }

  get next(): number | undefined {
    return this.#place.next;
  }

  /** Takes out what is to be said next. */
  take(): News | undefined {
    const item = this.#outbox.shift();
    if (item === undefined) return undefined;
    return item === "set" ? { endpoints: this.#set.endpoints } : { error: item };
  }

  attach(session: Session): void {
    this.#session = session;
    void this.#resume(session);
  }

  detach(error: Error | undefined): void {
    this.#release();
    if (error !== undefined) this.#complain(error);
  }

  /** To be called when nobody wants to know any more. */
  close(): void {
    this.#session?.watches.remove(this);
    this.#release();
  }

  received(response: WatchResponse): void {
    const session = this.#session;
    if (session === undefined) return;
    const news = this.#place.received(response);
    switch (news.kind) {
      case "joined":
        this.#refusals = 0;
        this.#wasUnauthorized = false;
        if (this.#isStale) this.#sayTheSet();
        return;
      case "events":
        this.#say(this.#set.apply(news.events));
        return;
      case "progress":
        return;
      case "relist":
        session.watches.remove(this);
        void this.#list(session);
        return;
      case "unauthorized":
        if (!this.#wasUnauthorized) {
          this.#wasUnauthorized = true;
          session.fail(new EtcdError("token", `a watch was refused: ${news.why}`));
          return;
        }
        this.#refused(session, new Error(`etcd refuses to watch ${this.#options.prefix}: ${news.why}`));
        return;
      case "refused":
        this.#refused(session, new Error(`etcd ended the watch of ${this.#options.prefix}: ${news.why}`));
    }
  }

  /** Goes on where it was, if that can be: if this is still the store that it was in. */
  async #resume(session: Session): Promise<void> {
    const { question } = this.#place;
    if (question === undefined) return this.#list(session);
    let isConfirmed = false;
    try {
      isConfirmed = this.#place.isConfirmedBy(await session.range(question));
    } catch {
      // Its history may not reach back so far, or not that far yet. What else is wrong, the list will tell.
    }
    if (this.#session !== session) return;
    if (isConfirmed) session.watches.add(this);
    else await this.#list(session);
  }

  async #list(session: Session): Promise<void> {
    try {
      const listing = await listRange((request) => session.range(request), this.range);
      if (this.#session !== session) return;
      this.#place.listed(listing);
      const { isChange, errors } = this.#set.replace(listing.kvs);
      this.#say({ isChange: isChange || this.#isStale, errors });
      session.watches.add(this);
    } catch (error) {
      // When the connection ended, `detach` told of it.
      if (this.#session === session) this.#refused(session, error as Error);
    }
  }

  /** The connection is good, but this service may not be had from it now. */
  #refused(session: Session, error: Error): void {
    const { clock, random, backoffMs, backoffMaxMs } = this.#options;
    session.watches.remove(this);
    this.#complain(error);
    this.#retry?.cancel();
    this.#retry = clock.schedule(
      () => {
        this.#retry = undefined;
        void this.#list(session);
      },
      fullJitterMs(this.#refusals++, backoffMs, backoffMaxMs, random),
    );
  }

  #release(): void {
    this.#session = undefined;
    this.#retry?.cancel();
    this.#retry = undefined;
  }

  #complain(error: Error): void {
    if (this.#isStale && error.message === this.#complaint) return;
    this.#complaint = error.message;
    this.#outbox.push(error);
    this.#isStale = true;
    this.#options.wake();
  }

  #say({ isChange, errors }: Change): void {
    this.#outbox.push(...errors);
    // A bad value is an error, after which the rest must be said to be good.
    if (isChange || errors.length > 0) this.#sayTheSet();
  }

  #sayTheSet(): void {
    this.#isStale = false;
    // The last place is the one that counts: a set that waits would be taken out as the one of now.
    const waiting = this.#outbox.indexOf("set");
    if (waiting >= 0) this.#outbox.splice(waiting, 1);
    this.#outbox.push("set");
    this.#options.wake();
  }
}
