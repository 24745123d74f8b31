/**
 * What is known of the methods of a service: whether a call of one is a stream, and whether it may run twice.
 *
 * The picker of grpc-js learns no more than a path. The definitions pass by an interceptor, which stands in
 * `channelOptions`; a method that it has not seen is taken for unary.
 */
import type { InterceptorOptions } from "@grpc/grpc-js";
import type { RetryRules } from "../resilience/retry.ts";

export interface Method {
  /** The path: `/shop.Orders/Get`. */
  readonly path: string;
  readonly isStream: boolean;
  /** By the option `retry.methods`. */
  readonly mayRepeat: boolean;
}

type Definition = InterceptorOptions["method_definition"];

/** More methods than any service has: beyond it, paths are made up by somebody. */
const mostMethods = 10_000;

export class Methods {
  readonly #retry: RetryRules;
  readonly #known: Map<string, Method> = new Map();
  readonly #defined: Set<string> = new Set();

  constructor(retry: RetryRules) {
    this.#retry = retry;
  }

  /** Takes in a definition, once. */
  define(definition: Definition): void {
    const { path } = definition;
    if (this.#defined.has(path) || this.#defined.size >= mostMethods) return;
    this.#defined.add(path);
    const isStream = definition.requestStream || definition.responseStream;
    const mayRepeat =
      this.#retry.methods.has(path) || (this.#retry.byIdempotencyLevel === true && isIdempotent(definition));
    this.#known.set(path, { path, isStream, mayRepeat });
  }

  of(path: string): Method {
    const known = this.#known.get(path);
    if (known !== undefined) return known;
    const method = { path, isStream: false, mayRepeat: this.#retry.methods.has(path) };
    if (this.#known.size < mostMethods) this.#known.set(path, method);
    return method;
  }
}

/** @grpc/proto-loader hands the options of a method on; code that was generated otherwise may not. */
function isIdempotent(definition: Definition): boolean {
  const { options } = definition as { readonly options?: { readonly idempotency_level?: unknown } };
  const level = options?.idempotency_level;
  return level === "NO_SIDE_EFFECTS" || level === "IDEMPOTENT";
}
