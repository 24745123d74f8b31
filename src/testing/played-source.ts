/** A source of endpoints that a test plays by hand: what it says, when it fails, and whether it is watched. */
import type { Discovery, DiscoveryContext } from "../core/contracts.ts";
import type { Endpoint } from "../core/endpoint.ts";

export class PlayedSource implements Discovery {
  /** How often it has been asked to watch. */
  watches = 0;
  /** Watches that have begun and not ended. */
  open = 0;
  #steps: (() => IteratorResult<readonly Endpoint[]>)[] = [];
  #wake: () => void = () => {};
  #context: DiscoveryContext | undefined;

  push(...addresses: readonly (string | Endpoint)[]): void {
    const value = addresses.map((given) => (typeof given === "string" ? { address: given } : given));
    this.#add(() => ({ done: false, value }));
  }

  /** Throws: the watch is over, and whoever watches may begin another. */
  fail(message: string): void {
    this.#add(() => {
      throw new Error(message);
    });
  }

  /** Tells of an error that it deals with by itself. */
  report(message: string): void {
    this.#context?.report(new Error(message));
  }

  end(): void {
    this.#add(() => ({ done: true, value: undefined }));
  }

  async *watch(context: DiscoveryContext): AsyncGenerator<readonly Endpoint[], void, void> {
    const { signal } = context;
    this.#context = context;
    this.watches++;
    this.open++;
    const wake = (): void => this.#wake();
    signal.addEventListener("abort", wake);
    try {
      while (!signal.aborted) {
        const result = this.#steps.shift()?.();
        if (result?.done === true) return;
        if (result !== undefined) yield result.value;
        else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
    } finally {
      signal.removeEventListener("abort", wake);
      this.open--;
    }
  }

  #add(step: () => IteratorResult<readonly Endpoint[]>): void {
    this.#steps.push(step);
    this.#wake();
  }
}
