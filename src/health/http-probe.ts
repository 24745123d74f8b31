/** One probe of `httpCheck`: one request, of whose answer the status counts and the body is read and thrown away. */
import { Client, type Dispatcher } from "undici";
import { outcomeOfError } from "../core/classify.ts";
import { errorCode } from "../core/errors.ts";
import type { CheckTarget } from "../core/health-check.ts";
import { failure, ignored, type Outcome, success } from "../core/outcome.ts";
import { openConnection } from "./connection.ts";
import type { Probe, RunningProbe } from "./poller.ts";

/** The first and the last status of a range. */
export type StatusRange = readonly [from: number, to: number];

export interface HttpProbeRules {
  readonly path: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly statuses: readonly StatusRange[];
  readonly isShared: boolean;
}

/** More of a body is not read. Long reports of health have a few KiB; a larger one is a mistake or an attack. */
const mostBodyBytes = 64 * 1024;

export function createHttpProbe(rules: HttpProbeRules): Probe {
  return (target, end) => {
    const shared = rules.isShared ? target.dispatcher() : undefined;
    return shared === undefined
      ? new OwnProbe(rules, target, end)
      : new HttpProbe(shared, true, rules, target, end);
  };
}

/** Undici's handler of the one request. */
class HttpProbe implements RunningProbe, Dispatcher.DispatchHandler {
  readonly #isShared: boolean;
  readonly #rules: HttpProbeRules;
  readonly #onEnd: (outcome: Outcome) => void;
  #controller: Dispatcher.DispatchController | undefined = undefined;
  #bodyBytes = 0;
  #isOver = false;

  constructor(
    dispatcher: Dispatcher,
    isShared: boolean,
    rules: HttpProbeRules,
    target: CheckTarget,
    onEnd: (outcome: Outcome) => void,
  ) {
    this.#isShared = isShared;
    this.#rules = rules;
    this.#onEnd = onEnd;
    const { path, method, headers } = rules;
    const options = {
      origin: target.origin,
      path,
      method,
      headers,
      // Says `connection: close`.
      reset: !isShared,
      ...(target.address.scheme === "https" ? { servername: target.servername } : {}),
    };
    dispatcher.dispatch(options as Dispatcher.DispatchOptions, this);
  }

  /** Before it was sent over a shared pool, it may be waiting for one of the pool's connections to become free. */
  get isWaitingForNode(): boolean {
    return !this.#isShared || this.#controller !== undefined;
  }

  cancel(): void {
    this.#isOver = true;
    this.#controller?.abort(new Error("the probe was given up"));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#isOver) controller.abort(new Error("the probe was given up"));
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number): void {
    // Informational ones come before the answer.
    if (status < 200) return;
    if (this.#rules.statuses.some(([from, to]) => status >= from && status <= to)) return;
    // Its body is still read, so that a shared connection can be used again.
    this.#end(failure("status", `status ${status}`));
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#bodyBytes += chunk.length;
    if (this.#bodyBytes <= mostBodyBytes) return;
    this.#end(success);
    controller.abort(new Error("the rest of the answer is not read"));
  }

  onResponseEnd(): void {
    this.#end(success);
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#end(outcomeOfProbeError(error));
  }

  #end(outcome: Outcome): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onEnd(outcome);
  }
}

/** A probe over a connection that is made for it. */
class OwnProbe implements RunningProbe {
  readonly isWaitingForNode: boolean = true;
  readonly #client: Client;
  readonly #request: HttpProbe;
  #closeSocket: () => void = () => {};

  constructor(rules: HttpProbeRules, target: CheckTarget, onEnd: (outcome: Outcome) => void) {
    this.#client = new Client(target.origin, {
      // The poller has an exact timer; undici's are coarse.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: (_, callback) => {
        const socket = openConnection(target, (error) => {
          if (error === null) callback(null, socket);
          else callback(error, null);
        });
        this.#closeSocket = () => socket.destroy();
      },
    });
    const end = (outcome: Outcome) => {
      this.#release();
      onEnd(outcome);
    };
    this.#request = new HttpProbe(this.#client, false, rules, target, end);
  }

  cancel(): void {
    this.#request.cancel();
    this.#release();
  }

  #release(): void {
    // A client that cannot be closed is a defect, which must not pass unseen.
    this.#client.destroy().catch((error: Error) => process.emitWarning(error));
    // The client lets a connection be made to its end, whoever wants it still.
    this.#closeSocket();
  }
}

/** The client and pool that a probe goes over are ours, and so is whatever is wrong with the request. */
const ownDoing: ReadonlySet<string> = new Set([
  "UND_ERR_ABORTED",
  "UND_ERR_CLOSED",
  "UND_ERR_DESTROYED",
  "UND_ERR_INVALID_ARG",
  "UND_ERR_NOT_SUPPORTED",
]);

function outcomeOfProbeError(error: Error): Outcome {
  const code = errorCode(error);
  if (code !== undefined && ownDoing.has(code)) return ignored("aborted", code);
  // Undici's codes say little to a person: UND_ERR_SOCKET is "other side closed".
  if (code?.startsWith("UND_ERR_") === true) return failure("error", error.message);
  return outcomeOfError(error);
}
