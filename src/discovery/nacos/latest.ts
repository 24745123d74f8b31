/** A box for one value between a connection that pushes and a reader that takes its time: only the last one counts. */

export class Latest<T> {
  #value: { readonly item: T } | undefined;
  #isClosed = false;
  #wake: () => void = () => {};

  put(item: T): void {
    this.#value = { item };
    this.#wake();
  }

  /** Throws away what was not taken. */
  clear(): void {
    this.#value = undefined;
  }

  /** Lets the reader end, once the signal aborts. */
  closeWith(signal: AbortSignal): Disposable {
    const close = (): void => {
      this.#isClosed = true;
      this.#wake();
    };
    if (signal.aborted) close();
    signal.addEventListener("abort", close);
    return { [Symbol.dispose]: () => signal.removeEventListener("abort", close) };
  }

  /** Takes the value out, waiting for one; undefined when closed. For one reader at a time. */
  async take(): Promise<T | undefined> {
    while (this.#value === undefined && !this.#isClosed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const value = this.#value;
    this.#value = undefined;
    return this.#isClosed ? undefined : value?.item;
  }
}
