/**
 * Keeps one connection to etcd for all who use it: to one member at a time, made anew on the next one when it ends.
 *
 * It connects with the first user and closes after the last. Whoever uses it is given each connection, and told of
 * its end; to go on from where he was is his own task.
 */
import type { Clock, Timer } from "../../core/clock.ts";
import type { Random } from "../../core/random.ts";
import { failureOf } from "./failure.ts";
import { Members } from "./members.ts";
import type { Session } from "./session.ts";

/** Whoever needs the connection. None of these may throw. */
export interface LinkUser {
  attach(session: Session): void;
  /** The connection ended; with an error unless it is only made anew to log in again. */
  detach(error: Error | undefined): void;
}

export interface LinkOptions {
  readonly members: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
  /** Ceiling of the first pause after all members failed. */
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
  readonly stableMs: number;
  /**
   * Connects and logs in.
   *
   * @param ended is called once, when the connection it made ends other than by `close`.
   * @param signal aborted when nobody wants the connection any more before it is there.
   */
  open(member: string, ended: (error: Error) => void, signal: AbortSignal): Promise<Session>;
}

type State =
  | { readonly kind: "idle" }
  | { readonly kind: "opening"; readonly controller: AbortController }
  | { readonly kind: "open"; readonly session: Session; readonly since: number }
  | { readonly kind: "pausing"; readonly timer: Timer };

export class Link {
  readonly #options: LinkOptions;
  readonly #members: Members;
  readonly #users: Set<LinkUser> = new Set();
  #state: State = { kind: "idle" };
  /** The last connection ended because of its token. Twice in a row is an error. */
  #isLoggingInAgain = false;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#members = new Members({ ...options, count: options.members.length });
  }

  /** The connection as it is now. */
  get session(): Session | undefined {
    return this.#state.kind === "open" ? this.#state.session : undefined;
  }

  /** @returns what ends the use. */
  join(user: LinkUser): () => void {
    this.#users.add(user);
    if (this.#state.kind === "open") user.attach(this.#state.session);
    else if (this.#state.kind === "idle") this.#open();
    return () => {
      if (!this.#users.delete(user) || this.#users.size > 0) return;
      // A source that is listed anew leaves and comes back in the same turn.
      this.#options.clock.schedule(() => this.#closeIfUnused(), 0);
    };
  }

  #open(): void {
    const { members, clock, open } = this.#options;
    const controller = new AbortController();
    const opening: State = { kind: "opening", controller };
    this.#state = opening;
    let session: Session | undefined;
    /** It may end before it is known to be open. */
    let end: Error | undefined;
    const ended = (error: Error): void => {
      end = error;
      if (this.#state.kind === "open" && this.#state.session === session)
        this.#ended(error, this.#state.since);
    };
    open(members[this.#members.current] as string, ended, controller.signal).then(
      (opened) => {
        if (this.#state !== opening) return opened.close();
        session = opened;
        if (end !== undefined) return this.#ended(end, clock.now());
        this.#state = { kind: "open", session: opened, since: clock.now() };
        for (const user of [...this.#users]) if (this.session === opened) user.attach(opened);
      },
      (error: Error) => {
        if (this.#state === opening) this.#ended(error, clock.now());
      },
    );
  }

  #ended(error: Error, since: number): void {
    const { clock, stableMs } = this.#options;
    const heldMs = clock.now() - since;
    if (heldMs >= stableMs) this.#isLoggingInAgain = false;
    const isExpected = failureOf(error) === "token" && !this.#isLoggingInAgain;
    if (isExpected) this.#isLoggingInAgain = true;
    const delayMs = isExpected ? 0 : this.#members.failed(heldMs);
    const timer = clock.schedule(() => {
      if (this.#users.size > 0) this.#open();
      else this.#state = { kind: "idle" };
    }, delayMs);
    this.#state = { kind: "pausing", timer };
    for (const user of [...this.#users]) user.detach(isExpected ? undefined : error);
  }

  #closeIfUnused(): void {
    if (this.#users.size > 0) return;
    const state = this.#state;
    this.#state = { kind: "idle" };
    if (state.kind === "open") state.session.close();
    else if (state.kind === "opening") state.controller.abort();
    else if (state.kind === "pausing") state.timer.cancel();
  }
}
