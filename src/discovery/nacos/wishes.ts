/**
 * What a connection is to bring about at its server, again after each reconnect: a subscription or a registration.
 *
 * They say what to send and what the answer means. When it is sent, and again if it failed, is the connection's task.
 */
import type { ServiceInfo } from "./messages.ts";
import {
  announcement,
  type Fields,
  pushedService,
  type ServiceKey,
  serviceInfoOf,
  subscription,
} from "./messages.ts";

export interface Wish {
  readonly key: ServiceKey;
  readonly requestType: string;
  /** To have it done, and to have it undone. */
  readonly request: Fields;
  readonly undo: Fields;
  /** @throws Error for an answer that makes no sense. */
  answered(answer: Fields): void;
  /**
   * A push came over the connection, whatever it is about. Returns whether it was of no use, so that the request is to
   * be sent again. @throws Error for one that makes no sense.
   */
  pushed?(push: Fields): boolean;
  /** It could not be brought about, or the connection is gone; it is tried again. */
  failed(error: Error): void;
}

/** Takes what becomes of one subscription. */
export interface SubscriptionEvents {
  info(info: ServiceInfo): void;
  failed(error: Error): void;
}

export class Subscription implements Wish {
  readonly requestType: string = "SubscribeServiceRequest";
  readonly key: ServiceKey;
  readonly request: Fields;
  readonly undo: Fields;
  readonly #events: SubscriptionEvents;
  #lastRefTime: number = Number.NEGATIVE_INFINITY;

  constructor(key: ServiceKey, clusters: readonly string[], events: SubscriptionEvents) {
    this.key = key;
    this.request = subscription(key, clusters, true);
    this.undo = subscription(key, clusters, false);
    this.#events = events;
  }

  answered(answer: Fields): void {
    this.#take(serviceInfoOf(answer));
  }

  pushed(push: Fields): boolean {
    const { group, service } = pushedService(push);
    if (service !== this.key.service || (group !== "" && group !== this.key.group)) return false;
    if (this.#take(serviceInfoOf(push))) return false;
    // Or the server's clock was set back, and this is the last change for long: the next answer tells.
    this.#lastRefTime = Number.NEGATIVE_INFINITY;
    return true;
  }

  failed(error: Error): void {
    // Another server's clock may be behind, and a wiped one's data is new all the same.
    this.#lastRefTime = Number.NEGATIVE_INFINITY;
    this.#events.failed(error);
  }

  /** Returns false for one that is older than the last. */
  #take(info: ServiceInfo): boolean {
    // An answer and a push can overtake each other; each is the whole set, so the older one is of no use.
    if (info.lastRefTime < this.#lastRefTime) return false;
    this.#lastRefTime = info.lastRefTime;
    this.#events.info(info);
    return true;
  }
}

export class Registration implements Wish {
  readonly requestType: string = "InstanceRequest";
  readonly key: ServiceKey;
  readonly request: Fields;
  readonly undo: Fields;
  readonly #events: { registered(): void; failed(error: Error): void };

  constructor(key: ServiceKey, host: Fields, events: { registered(): void; failed(error: Error): void }) {
    this.key = key;
    this.request = announcement(key, host, "registerInstance");
    this.undo = announcement(key, host, "deregisterInstance");
    this.#events = events;
  }

  answered(): void {
    this.#events.registered();
  }

  failed(error: Error): void {
    this.#events.failed(error);
  }
}
