/**
 * What one watch of a key range knows of its place in the store's history, and what each answer means for it.
 *
 * The rule: list at revision R, watch from R + 1. Go on after events from the last event's revision + 1, and after a
 * progress notice from the store's revision + 1. Never from the revision that comes with `created` or with events:
 * that is the store's, which is ahead of what was delivered while a watch catches up.
 */
import { failureOf } from "./failure.ts";
import type { Listing } from "./list-range.ts";
import type { KeyEvent, RangeRequest, RangeResponse, WatchResponse } from "./messages.ts";
import { isOtherStore, positionOf, type StorePosition } from "./store-position.ts";
import { Witness } from "./witness.ts";

/** Answers with this id belong to no watch: etcd's to a progress request. */
export const noWatch = "-1";

/** What an answer to a watch means. */
export type WatchNews =
  | { readonly kind: "joined" }
  | { readonly kind: "events"; readonly events: readonly KeyEvent[] }
  | { readonly kind: "progress" }
  /** The history it asked for is gone, or the store is another one: list again. */
  | { readonly kind: "relist"; readonly why: string }
  /** Not with this token; under etcd 3.4 that looks like a lack of rights. */
  | { readonly kind: "unauthorized"; readonly why: string }
  | { readonly kind: "refused"; readonly why: string };

export class RangeWatch {
  /** The first revision not seen yet; undefined before the first list and when it has to be listed again. */
  #next: number | undefined;
  #seen: StorePosition | undefined;
  readonly #witness: Witness = new Witness();

  /** Where to watch from; undefined means list first. */
  get next(): number | undefined {
    return this.#next;
  }

  /** A list was made, at the revision that its header tells. Whatever store it came from is the one that counts. */
  listed({ header, kvs }: Listing): void {
    this.#seen = positionOf(header);
    this.#next = this.#seen.revision + 1;
    this.#witness.listed(kvs);
  }

  /**
   * What a new connection is to be asked before the watch goes on, since the store may have been replaced meanwhile;
   * undefined when it has to be listed instead.
   */
  get question(): RangeRequest | undefined {
    return this.#next === undefined ? undefined : this.#witness.question(this.#next - 1);
  }

  /** The answer to `question`. @returns whether the watch can go on where it was. */
  isConfirmedBy(answer: RangeResponse): boolean {
    return this.#witness.confirms(answer);
  }

  /** An answer to this watch. */
  received(response: WatchResponse): WatchNews {
    if (response.canceled) return this.#canceled(response);
    const now = positionOf(response.header);
    if (this.#seen !== undefined && isOtherStore(this.#seen, now)) {
      const { revision } = this.#seen;
      return this.#relist(`the store is at revision ${now.revision}, after ${revision}: it was replaced`);
    }
    this.#seen = now;
    if (response.created) return { kind: "joined" };
    const last = response.events.at(-1);
    if (last === undefined) {
      if (!response.fragment && response.watchId !== noWatch) this.#advance(now.revision + 1);
      return { kind: "progress" };
    }
    // One revision may have many events. While more of them follow, this revision is not done.
    const revision = Number(last.kv.modRevision);
    this.#advance(response.fragment ? revision : revision + 1);
    this.#witness.happened(response.events);
    return { kind: "events", events: response.events };
  }

  #canceled(response: WatchResponse): WatchNews {
    const { compactRevision, cancelReason } = response;
    if (compactRevision !== "0") {
      return this.#relist(`the history before revision ${compactRevision} was compacted`);
    }
    const why = cancelReason === "" ? "etcd ended the watch" : cancelReason;
    const failure = failureOf({ message: cancelReason });
    if (failure === "compacted") return this.#relist(why);
    if (failure === "token" || failure === "denied") return { kind: "unauthorized", why };
    return { kind: "refused", why };
  }

  #relist(why: string): WatchNews {
    this.#next = undefined;
    return { kind: "relist", why };
  }

  #advance(next: number): void {
    if (this.#next !== undefined) this.#next = Math.max(this.#next, next);
  }
}
