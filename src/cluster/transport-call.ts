/**
 * What a transport gives a call: how one attempt is sent and stopped, how the caller is told, and what is known of the
 * request and the answer.
 *
 * All of it is asked by `Call`, which transports extend. They keep no rules of their own.
 */
import type { Attempt } from "../core/attempt.ts";
import type { CallInfo, CallPriority } from "../core/contracts.ts";
import { BalancerError, type BalancerErrorCode } from "../core/errors.ts";
import type { Node } from "../core/node.ts";
import { CallState } from "./call-state.ts";

export abstract class TransportCall extends CallState implements CallInfo {
  abstract header(name: string): string | undefined;
  abstract get priority(): CallPriority;
  abstract get tried(): readonly Node[];

  get hashKey(): string | undefined {
    return this.rules.hashKey;
  }

  /** Whether the body can be sent once more. Asked only after an attempt failed. */
  protected abstract canRepeatBody(): boolean;
  /** Whether the call can be sent a second time while it is under way. */
  protected abstract canRace(): boolean;
  /** The attempt failed and another one will follow, now or later. */
  protected repeating(): void {}
  /** Sends the call to `attempt.node`. May report its end before it returns. */
  protected abstract send(attempt: Attempt): void;
  /** Whether nothing of the attempt has reached its node. */
  protected abstract isUnsent(attempt: Attempt): boolean;
  /** Whether the attempt waits for one of its node's connections, all of which are in use. */
  protected isInLine(_attempt: Attempt): boolean {
    return false;
  }
  /** Abandons the attempt under way: aborts it, and reports nothing more of it. */
  protected abstract stop(attempt: Attempt, error: Error): void;
  /** Tells the caller that the call failed. Called at most once, and nothing is called after it. */
  protected abstract fail(error: Error): void;
  /** The call is over, well or not. Called exactly once for each started call. */
  protected abstract released(): void;

  /** Whether an answer without a natural end is asked for, for which the call's own deadline will be lifted. */
  protected get mayBeEndless(): boolean {
    return false;
  }

  /** Whether the caller may get something else when the call fails; when he does not after all, see `noteFailure`. */
  protected get hasFallback(): boolean {
    return false;
  }

  /** What the caller is told when the body stood still for too long. */
  protected bodyIdleError(message: string): Error {
    return this.errorOf("ERR_DEADLINE", message);
  }

  /** Whether the caller does not want more of the body just now. */
  protected isBodyPaused(): boolean {
    return false;
  }

  protected errorOf(code: BalancerErrorCode, message: string, cause?: unknown): BalancerError {
    return new BalancerError(code, this.cluster.name, message, cause);
  }
}
