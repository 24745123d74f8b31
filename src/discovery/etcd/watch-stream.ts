/**
 * Many watches on one stream: makes them one after another, hands each its answers, and asks a silent etcd whether
 * it is still there.
 *
 * One after another, since etcd answers a request that it refuses with no id to tell which one it was.
 */
import type { Clock, Timer } from "../../core/clock.ts";
import { EtcdError } from "./failure.ts";
import type { KeyRange } from "./key-range.ts";
import type { WatchRequest, WatchResponse } from "./messages.ts";

/**
 * After this long without a word etcd is asked for progress, as an idle stream and a hung server look the same: the
 * time after which HTTP/2 pings go out, too.
 */
const silenceMs = 10_000;
/** How long it may take to answer; a member that is being elected is quiet for one or two seconds. */
const answerMs = 5_000;
/** A timer that fires later than this tells of this process' own trouble, not of etcd's: the answer may be there. */
const lateMs = 500;

/** One watch. */
export interface Subscriber {
  readonly range: KeyRange;
  /** The revision to watch from; looked at when the request goes out. */
  readonly next: number | undefined;
  received(response: WatchResponse): void;
}

export interface WatchStreamOptions {
  readonly clock: Clock;
  send(request: WatchRequest): void;
  /** etcd does not answer any more. */
  failed(error: Error): void;
}

export class WatchStream {
  readonly #options: WatchStreamOptions;
  /** Those whose request has not gone out. */
  readonly #waiting: Set<Subscriber> = new Set();
  /** The one whose request is being answered; it may have lost interest. */
  #joining: { subscriber: Subscriber | undefined } | undefined;
  /** By the id that etcd gave. */
  readonly #joined: Map<string, Subscriber> = new Map();
  #heardAt: number;
  /** When etcd was asked for progress, unless it has said something since. */
  #askedAt: number | undefined;
  #timer: Timer | undefined;

  constructor(options: WatchStreamOptions) {
    this.#options = options;
    this.#heardAt = options.clock.now();
  }

  add(subscriber: Subscriber): void {
    this.#waiting.add(subscriber);
    this.#joinNext();
  }

  /** Nothing is handed to it any more. Does nothing for one that is not there. */
  remove(subscriber: Subscriber): void {
    this.#waiting.delete(subscriber);
    if (this.#joining?.subscriber === subscriber) this.#joining.subscriber = undefined;
    for (const [watchId, joined] of this.#joined) {
      if (joined !== subscriber) continue;
      this.#joined.delete(watchId);
      this.#options.send({ cancelRequest: { watchId } });
    }
    this.#rest();
  }

  received(response: WatchResponse): void {
    this.#heardAt = this.#options.clock.now();
    this.#askedAt = undefined;
    const { watchId } = response;
    if (response.created) {
      const subscriber = this.#joining?.subscriber;
      this.#joining = undefined;
      if (subscriber === undefined) {
        if (!response.canceled) this.#options.send({ cancelRequest: { watchId } });
      } else if (!response.canceled) {
        this.#joined.set(watchId, subscriber);
      }
      subscriber?.received(response);
      this.#joinNext();
      this.#rest();
      return;
    }
    const subscriber = this.#joined.get(watchId);
    if (response.canceled) this.#joined.delete(watchId);
    subscriber?.received(response);
    this.#rest();
  }

  close(): void {
    this.#waiting.clear();
    this.#joining = undefined;
    this.#joined.clear();
    this.#rest();
  }

  #joinNext(): void {
    if (this.#joining !== undefined) return;
    const [subscriber] = this.#waiting;
    if (subscriber === undefined) return;
    this.#waiting.delete(subscriber);
    this.#joining = { subscriber };
    this.#heardAt = this.#options.clock.now();
    this.#options.send({
      createRequest: {
        ...subscriber.range,
        startRevision: subscriber.next ?? 0,
        progressNotify: true,
        fragment: true,
      },
    });
    if (this.#timer === undefined) this.#look(silenceMs);
  }

  /** Looks after the stream for as long as anybody listens. */
  #look(delayMs: number): void {
    const { clock } = this.#options;
    const dueAt = clock.now() + delayMs;
    this.#timer = clock.schedule(() => {
      const now = clock.now();
      if (now - dueAt > lateMs) return this.#look(lateMs);
      const quietMs = now - this.#heardAt;
      if (quietMs < silenceMs) return this.#look(silenceMs - quietMs);
      if (this.#askedAt === undefined) {
        this.#askedAt = now;
        this.#options.send({ progressRequest: {} });
        return this.#look(answerMs);
      }
      if (now - this.#askedAt < answerMs) return this.#look(answerMs - (now - this.#askedAt));
      this.#timer = undefined;
      this.#options.failed(
        new EtcdError("connection", `nothing on the watch stream for ${Math.round(quietMs)} ms`),
      );
    }, delayMs);
  }

  #rest(): void {
    if (this.#joined.size > 0 || this.#joining !== undefined || this.#waiting.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#askedAt = undefined;
  }
}
