/**
 * What is known of the methods of a service: whether a call of one is a stream, and whether it may run twice.
 *
 * The picker of grpc-js learns no more than a path. An interceptor, which stands in `channelOptions`, learns what is a
 * stream; a method that it has not seen is taken for unary. What a method's options say reaches neither: that is in the
 * definition of the service alone, which the program hands over.
 */
import type { InterceptorOptions } from "@grpc/grpc-js";
import type { RetryRules } from "../resilience/retry.ts";

export interface Method {
  /** The path: `/shop.Orders/Get`. */
  readonly path: string;
  readonly isStream: boolean;
  /** It was called, or defined: what it says is not a guess. */
  readonly isKnown: boolean;
  /** By the option `retry.methods`. */
  readonly mayRepeat: boolean;
}

type Definition = Pick<InterceptorOptions["method_definition"], "path" | "requestStream" | "responseStream">;

/** More methods than any service has: beyond it, paths are made up by somebody. */
const mostMethods = 10_000;

export class Methods {
  readonly #retry: RetryRules;
  readonly #methods: Map<string, Method> = new Map();
  /** Methods that may run twice by their definition. */
  readonly #idempotent: Set<string> = new Set();
  /** Asked for last: for each call first the interceptor asks, then the channel. */
  #latest: Method | undefined = undefined;

  constructor(retry: RetryRules) {
    this.#retry = retry;
  }

  /** Takes in what is known of a method when it is called. */
  learn(definition: Definition): void {
    const { isKnown, mayRepeat } = this.of(definition.path);
    if (!isKnown) this.#set(definition, mayRepeat);
  }

  /** Takes in a definition that is whole. */
  define(definition: Definition): void {
    const { path } = definition;
    if (isIdempotent(definition)) this.#idempotent.add(path);
    else this.#idempotent.delete(path);
    this.#set(definition, this.mayRepeat(path));
  }

  of(path: string): Method {
    if (this.#latest?.path === path) return this.#latest;
    const method = this.#methods.get(path);
    if (method === undefined) {
      return this.#keep({ path, isStream: false, isKnown: false, mayRepeat: this.mayRepeat(path) });
    }
    this.#latest = method;
    return method;
  }

  /** @param retry the rules of a view; by default those of the service. */
  mayRepeat(path: string, retry: RetryRules = this.#retry): boolean {
    if (retry.methods.has(path)) return true;
    return retry.byIdempotencyLevel === true && this.#idempotent.has(path);
  }

  #set({ path, requestStream, responseStream }: Definition, mayRepeat: boolean): void {
    this.#keep({ path, isStream: requestStream || responseStream, isKnown: true, mayRepeat });
  }

  #keep(method: Method): Method {
    const { path } = method;
    if (this.#methods.size < mostMethods || this.#methods.has(path)) this.#methods.set(path, method);
    this.#latest = method;
    return method;
  }
}

/** @grpc/proto-loader hands the options of a method on; code that was generated otherwise may not. */
function isIdempotent(definition: Definition): boolean {
  const { options } = definition as { readonly options?: { readonly idempotency_level?: unknown } };
  const level = options?.idempotency_level;
  return level === "NO_SIDE_EFFECTS" || level === "IDEMPOTENT";
}
