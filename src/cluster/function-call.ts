/** `cluster.call`: a call through any client, as a function that is given a node and a signal. */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Attempt } from "../core/attempt.ts";
import { outcomeOfError, outcomeOfStatus } from "../core/classify.ts";
import type { BalancerError } from "../core/errors.ts";
import { isMadeGood, retryHeader } from "../core/layers.ts";
import type { Node } from "../core/node.ts";
import { OptionReader, show } from "../core/option-reader.ts";
import { failure, ignored, type Outcome, success } from "../core/outcome.ts";
import { Call } from "./call.ts";
import { type CallRules, readRules, type WithOptions } from "./call-rules.ts";
import type { Cluster } from "./cluster.ts";

/** What the function is given for each attempt. */
export interface NodeAttempt {
  /** Where to send it: `node.url("/path")`, or `node.endpoint`. */
  readonly node: Node;
  /** Aborted when the attempt's time is up or the caller gave up. Hand it to the client. */
  readonly signal: AbortSignal;
  /** 1 for the first try. */
  readonly attempt: number;
  /** What to send with this attempt besides the call's own headers: trace context, when `evenkeel/otel` is in use. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface CallOptions extends WithOptions {
  /** The function may run twice for one call. Default: by `method`; without one, no. */
  readonly idempotent?: boolean | undefined;
  /** For policies, events and messages. Default "CALL". */
  readonly method?: string | undefined;
  /** For policies, events and messages. Default "/". */
  readonly path?: string | undefined;
  /** Gives the call up when aborted. */
  readonly signal?: AbortSignal | undefined;
  /** Makes the result of a call that failed; what it throws or rejects with is the call's error then. */
  readonly fallback?: ((error: BalancerError) => unknown) | undefined;
  /**
   * Says what the function's result, or what it threw, means for the node. Default: by the `status` or
   * `statusCode` of a result or error (5xx and 429 are failures) and by the codes of Node's errors.
   */
  readonly classify?:
    | ((ended: { readonly result?: unknown; readonly error?: unknown }) => Outcome)
    | undefined;
}

const noHeaders: Readonly<Record<string, string>> = Object.freeze({});

type Function<T> = (attempt: NodeAttempt) => Promise<T> | T;

export class FunctionCall<T> extends Call {
  readonly #function: Function<T>;
  readonly #classify: NonNullable<CallOptions["classify"]>;
  readonly #signal: AbortSignal | undefined;
  readonly #fallback: CallOptions["fallback"];
  readonly #resolve: (result: T) => void;
  readonly #reject: (error: unknown) => void;
  readonly #onAbort: () => void;
  /** Runs something in the asynchronous context of the caller: a later attempt begins in that of a timer. */
  readonly #inCallersContext: <R>(work: () => R) => R = AsyncLocalStorage.snapshot();
  /** Of the attempt under way; of two when the call is hedged. */
  readonly #controllers: Map<Attempt, AbortController> = new Map();

  /** @throws TypeError or RangeError for bad options, as a rejection. */
  static async run<T>(
    cluster: Cluster,
    rules: CallRules,
    call: Function<T>,
    options: CallOptions = {},
  ): Promise<T> {
    if (typeof call !== "function") throw new TypeError("call must be given a function");
    const resolved = resolveCallOptions(rules, options);
    resolved.signal?.throwIfAborted();
    return new Promise<T>((resolve, reject) => {
      new FunctionCall(cluster, call, resolved, resolve, reject).start();
    });
  }

  private constructor(
    cluster: Cluster,
    call: Function<T>,
    options: ReturnType<typeof resolveCallOptions>,
    resolve: (result: T) => void,
    reject: (error: unknown) => void,
  ) {
    const { method, path, idempotent, rules } = options;
    super(cluster, method, path, idempotent, rules);
    this.#function = call;
    this.#classify = options.classify;
    this.#signal = options.signal;
    this.#fallback = options.fallback;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#onAbort = () => this.abort(options.signal?.reason);
    options.signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  header(): undefined {
    return undefined;
  }

  protected canRepeatBody(): boolean {
    return true;
  }

  /** What the function did before it failed cannot be known from outside. */
  protected isUnsent(): boolean {
    return false;
  }

  protected send(attempt: Attempt): void {
    const controller = new AbortController();
    this.#controllers.set(attempt, controller);
    const { node, number } = attempt;
    const headers = headersOf(this.addedHeaders);
    // The function's own throw and its rejection are the same thing to the caller.
    new Promise<T>((resolve) => {
      const given = { node, signal: controller.signal, attempt: number, headers };
      resolve(this.#inCallersContext(() => this.#function(given)));
    }).then(
      (result) => this.#returned(attempt, result),
      (error: unknown) => this.#threw(attempt, error),
    );
  }

  protected canRace(): boolean {
    return true;
  }

  protected stop(attempt: Attempt, error: Error): void {
    this.#controllers.get(attempt)?.abort(error);
  }

  protected override get hasFallback(): boolean {
    return this.#fallback !== undefined;
  }

  protected fail(error: Error): void {
    const fallback = this.#fallback;
    // Whoever gave the call up wants nothing in its place, whatever error he gave as his reason.
    if (fallback === undefined || this.#signal?.aborted === true || !isMadeGood(error)) {
      this.#reject(error);
      return;
    }
    new Promise((resolve) => resolve(this.#inCallersContext(() => fallback(error)))).then(
      (result) => this.#resolve(result as T),
      (failure: unknown) => {
        this.noteFailure();
        this.#reject(failure);
      },
    );
  }

  protected released(): void {
    this.#signal?.removeEventListener("abort", this.#onAbort);
  }

  #returned(attempt: Attempt, result: T): void {
    if (attempt.ended) return;
    attempt.statusCode = statusOf(result);
    const outcome = this.#classified({ result }, result);
    if (attempt.ended) return;
    const isRetryStatus = isStatus(outcome) && this.rules.retry.statuses.has(Number(outcome.detail));
    if (isRetryStatus && this.tryAgain(attempt, outcome, undefined, false, 0)) return;
    this.answered(attempt, outcome.kind === "success", false);
    this.complete(outcome);
    this.#resolve(result);
  }

  #threw(attempt: Attempt, error: unknown): void {
    if (attempt.ended) return;
    attempt.statusCode = statusOf(error);
    const outcome = this.#classified({ error }, error);
    if (attempt.ended) return;
    if (outcome.kind === "success" || this.#isFinalStatus(outcome)) {
      // The node answered, only not what the caller wanted: a 404 is nothing to try again.
      this.answered(attempt, outcome.kind === "success", false);
      this.complete(outcome);
      this.#reject(error);
      return;
    }
    this.attemptFailed(attempt, outcome, error as Error, this.isUnsent());
  }

  /** A status that `retry.statuses` does not name: an answer like any other, thrown or returned. */
  #isFinalStatus(outcome: Outcome): boolean {
    if (outcome.reason === "dependency") return true;
    const status = isStatus(outcome) ? Number(outcome.detail) : Number.NaN;
    return !Number.isNaN(status) && !this.rules.retry.statuses.has(status);
  }

  #classified(ended: { readonly result?: unknown; readonly error?: unknown }, answer: unknown): Outcome {
    try {
      const outcome = this.#classify(ended);
      if (!isOutcome(outcome)) throw new TypeError(`classify must return an outcome, got ${show(outcome)}`);
      if (outcome.kind !== "failure") return outcome;
      if (headerOf(answer, retryHeader) === "no") return failure("dependency", outcome.detail);
      const isOverloaded =
        /^(503|429)$/.test(outcome.detail) && headerOf(answer, "retry-after") !== undefined;
      return isOverloaded ? failure("overloaded", outcome.detail) : outcome;
    } catch (error) {
      this.cancel(error as Error);
      return ignored("call", "classify threw");
    }
  }
}

/** Whether the outcome is that of an answer, whose status is its detail. */
function isStatus({ reason }: Outcome): boolean {
  return reason === "status" || reason === "overloaded";
}

function headersOf(added: readonly string[] | undefined): Readonly<Record<string, string>> {
  if (added === undefined) return noHeaders;
  const headers: Record<string, string> = {};
  for (let index = 0; index + 1 < added.length; index += 2) {
    headers[added[index] as string] = added[index + 1] as string;
  }
  return headers;
}

function resolveCallOptions(base: CallRules, given: CallOptions) {
  const options = new OptionReader(given, "call");
  const method = options.string("method");
  const rules = readRules(options, base);
  const resolved = {
    method: method ?? "CALL",
    path: options.string("path") ?? "/",
    rules,
    idempotent: rules.idempotent ?? (method !== undefined && rules.retry.methods.has(method.toUpperCase())),
    classify: options.function<NonNullable<CallOptions["classify"]>>("classify") ?? outcomeOf,
    signal: options.object<AbortSignal>("signal", ["addEventListener"]),
    fallback: options.function<NonNullable<CallOptions["fallback"]>>("fallback"),
  };
  options.end();
  return resolved;
}

/** Whether the program's own `classify` kept to its type: a wrong kind would be held against nobody. */
function isOutcome(outcome: Outcome | undefined): boolean {
  const kind = outcome?.kind;
  return kind === "success" || kind === "failure" || kind === "ignored";
}

/** By status where there is one (a fetch Response, a got or axios error), else by the error. */
function outcomeOf(ended: { readonly result?: unknown; readonly error?: unknown }): Outcome {
  const status = statusOf("error" in ended ? ended.error : ended.result);
  if (status !== undefined) return outcomeOfStatus(status);
  if (!("error" in ended)) return success;
  const { error } = ended;
  // undici's and the built-in fetch hide what happened in the cause of a TypeError.
  return outcomeOfError(error instanceof TypeError && error.cause !== undefined ? error.cause : error);
}

function statusOf(ended: unknown): number | undefined {
  if (typeof ended !== "object" || ended === null) return undefined;
  const { status, statusCode, response } = ended as Readonly<Record<string, unknown>>;
  if (typeof status === "number") return status;
  if (typeof statusCode === "number") return statusCode;
  return typeof response === "object" ? statusOf(response) : undefined;
}

/** A header of a fetch Response (got and undici have plain objects), or of the response inside an error. */
function headerOf(answer: unknown, name: string): string | undefined {
  if (typeof answer !== "object" || answer === null) return undefined;
  const { headers, response } = answer as { readonly headers?: unknown; readonly response?: unknown };
  if (typeof headers === "object" && headers !== null) {
    if ("get" in headers && typeof headers.get === "function") return headers.get(name) ?? undefined;
    const value = (headers as Readonly<Record<string, unknown>>)[name];
    return typeof value === "string" ? value : undefined;
  }
  return headerOf(response, name);
}
