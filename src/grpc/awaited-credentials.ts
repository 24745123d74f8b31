/**
 * Call credentials that an attempt can give up: between its pick and its sending a call waits for them, and grpc-js waits
 * without end.
 *
 * Nobody is told of that wait. But grpc-js asks what was picked, which is the attempt, for the credentials of its channel,
 * and composes those that the call was given with them: so these learn whose they are. A call without any costs no more than
 * that question.
 */
import { type CallCredentials, credentials, type Metadata, type status } from "@grpc/grpc-js";
import type { GrpcAttempt } from "./grpc-attempt.ts";

type Asked = Parameters<CallCredentials["generateMetadata"]>[0];

/** Those of a channel that has none. grpc-js knows them by their class, and waits for nothing where a call has none either. */
const none: CallCredentials & { attempt: GrpcAttempt | undefined } = Object.assign(
  credentials.createEmpty(),
  {
    attempt: undefined,
  },
);

/** @param own the credentials of the channel. */
export function credentialsFor(attempt: GrpcAttempt, own: CallCredentials): CallCredentials {
  if (!none._equals(own)) return new AwaitedCredentials(attempt, own);
  none.attempt = attempt;
  return none;
}

/** Those that a call was given, until it is known for which attempt they are made. */
export class GivenCredentials implements CallCredentials {
  readonly #given: CallCredentials;

  constructor(given: CallCredentials) {
    this.#given = given;
  }

  compose(others: CallCredentials): CallCredentials {
    if (others instanceof AwaitedCredentials) return others.after(this.#given);
    const { attempt } = none;
    if (others !== none || attempt === undefined) return new GivenCredentials(this.#given.compose(others));
    none.attempt = undefined;
    return new AwaitedCredentials(attempt, this.#given);
  }

  generateMetadata(asked: Asked): Promise<Metadata> {
    return this.#given.generateMetadata(asked);
  }

  _equals(other: CallCredentials): boolean {
    return other instanceof GivenCredentials && this.#given._equals(other.#given);
  }
}

export class AwaitedCredentials implements CallCredentials {
  readonly #attempt: GrpcAttempt;
  readonly #made: CallCredentials;
  #fail: ((error: unknown) => void) | undefined = undefined;

  constructor(attempt: GrpcAttempt, made: CallCredentials) {
    this.#attempt = attempt;
    this.#made = made;
  }

  generateMetadata(asked: Asked): Promise<Metadata> {
    return new Promise((resolve, reject) => {
      this.#fail = reject;
      this.#attempt.awaits(this);
      const failed = (error: unknown): void => reject(this.#attempt.call.credentialsFailed(error));
      this.#made.generateMetadata(asked).then(resolve, failed);
    });
  }

  /** Ends the attempt that waits for them, with this status. */
  giveUp(code: status, details: string): void {
    this.#fail?.(Object.assign(new Error(details), { code }));
  }

  /** With others, which are made first. */
  after(others: CallCredentials): AwaitedCredentials {
    return new AwaitedCredentials(this.#attempt, others.compose(this.#made));
  }

  compose(others: CallCredentials): AwaitedCredentials {
    return new AwaitedCredentials(this.#attempt, this.#made.compose(others));
  }

  _equals(other: CallCredentials): boolean {
    return this === other;
  }
}
