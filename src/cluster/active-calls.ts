/** How many calls are under way, and the moment when none is: what closing waits for. */
export class ActiveCalls {
  #count = 0;
  #whenIdle: (() => void) | undefined = undefined;

  get count(): number {
    return this.#count;
  }

  started(): void {
    this.#count++;
  }

  ended(): void {
    this.#count--;
    if (this.#count === 0) this.#whenIdle?.();
  }

  /** Resolves when none is under way. Waited for once, by whoever closes. */
  async idle(): Promise<void> {
    if (this.#count === 0) return;
    await new Promise<void>((resolve) => {
      this.#whenIdle = resolve;
    });
  }
}
