/**
 * What all dispatchers of ours share: undici's two forms of `close` and `destroy`, done once however often they are
 * asked for, and a `compose` whose `fetch` goes through the interceptors.
 *
 * Fields are private by type only: `compose()` returns a Proxy, on which `#private` fields cannot be read.
 */
import { Dispatcher } from "undici";
import { createFetch } from "./fetch.ts";

type Interceptor = Dispatcher.DispatcherComposeInterceptor;

export abstract class ClosableDispatcher extends Dispatcher implements AsyncDisposable {
  /** WHATWG fetch through this dispatcher. Bound. */
  readonly fetch: typeof globalThis.fetch;

  protected readonly authority: string | undefined;
  private closing: Promise<void> | undefined = undefined;
  private destroying: Promise<void> | undefined = undefined;

  /** @param authority the host of paths given to `fetch`; undefined where only whole URLs are taken. */
  constructor(authority: string | undefined) {
    super();
    this.authority = authority;
    this.fetch = createFetch(this, authority);
  }

  get closed(): boolean {
    return this.closing !== undefined;
  }

  get destroyed(): boolean {
    return this.destroying !== undefined;
  }

  /** Takes no new calls, waits for those under way to end, and closes what it holds. */
  override close(): Promise<void>;
  override close(callback: () => void): void;
  override close(callback?: () => void): Promise<void> | undefined {
    this.closing ??= this.closeOnce();
    return answer(this.closing, callback);
  }

  /** Ends at once: calls under way fail with `error`. */
  override destroy(): Promise<void>;
  override destroy(error: Error | null): Promise<void>;
  override destroy(callback: () => void): void;
  override destroy(error: Error | null, callback: () => void): void;
  override destroy(
    errorOrCallback?: Error | null | (() => void),
    callback?: () => void,
  ): Promise<void> | undefined {
    const error = typeof errorOrCallback === "function" ? null : (errorOrCallback ?? null);
    if (this.destroying === undefined) {
      // Not to be admitted any more from here on, whatever the ending itself calls.
      const closedBefore = this.closing;
      const done = Promise.withResolvers<void>();
      this.closing ??= done.promise;
      this.destroying = this.destroyOnce(error, closedBefore);
      this.destroying.then(done.resolve, done.reject);
      done.promise.catch(() => {});
    }
    return answer(this.destroying, typeof errorOrCallback === "function" ? errorOrCallback : callback);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  override compose(interceptors: Interceptor[]): Dispatcher.ComposedDispatcher;
  override compose(...interceptors: Interceptor[]): Dispatcher.ComposedDispatcher;
  override compose(...interceptors: (Interceptor | Interceptor[])[]): Dispatcher.ComposedDispatcher {
    const composed = super.compose(...interceptors.flat());
    const fetch = createFetch(composed, this.authority);
    // What is bound to the plain dispatcher would go around the interceptors.
    return new Proxy(composed, {
      get: (target, key) => (key === "fetch" ? fetch : Reflect.get(target, key)),
    });
  }

  /** Called once at most, when `close` comes before any `destroy`. */
  protected abstract closeOnce(): Promise<void>;

  /**
   * Called once at most.
   *
   * @param closing the graceful end that is under way already, or undefined.
   */
  protected abstract destroyOnce(error: Error | null, closing: Promise<void> | undefined): Promise<void>;
}

/** Undici's two forms: with a callback, or with a promise. */
function answer(done: Promise<void>, callback: (() => void) | undefined): Promise<void> | undefined {
  if (callback === undefined) return done;
  if (typeof callback !== "function") throw new TypeError("callback must be a function");
  done.then(
    () => callback(),
    () => callback(),
  );
  return undefined;
}
