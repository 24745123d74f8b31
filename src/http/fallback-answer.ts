/** The response that a caller's handler is given in place of the service's. */
import type { Dispatcher } from "undici";
import { checkFallback, type FailedCall, type Fallback } from "../cluster/fallback-options.ts";

type Controller = Dispatcher.DispatchController;

/** RFC 9110: they have neither a body nor its length. */
const bodilessStatuses: ReadonlySet<number> = new Set([204, 205, 304]);

export class FallbackAnswer {
  readonly #handler: Dispatcher.DispatchHandler;
  readonly #controller: Controller;
  readonly #fail: (error: Error) => void;
  /** As bytes, names and values in turn: fetch reads these. */
  rawHeaders: Buffer[] = [];
  #isOver = false;
  #waking: (() => void) | undefined = undefined;

  /** @param fail tells the handler of an error. */
  constructor(handler: Dispatcher.DispatchHandler, controller: Controller, fail: (error: Error) => void) {
    this.#handler = handler;
    this.#controller = controller;
    this.#fail = fail;
  }

  /** Asks the fallback and hands over what it gives; without anything, or when it throws, it is the error. */
  async deliver(fallback: Fallback, call: FailedCall): Promise<void> {
    try {
      const given = typeof fallback === "function" ? await fallback(call) : fallback;
      if (this.#isOver) return;
      if (given === undefined) this.#end(call.error);
      else await this.#hand(checkFallback(given), call.method);
    } catch (error) {
      this.#end(error as Error);
    }
  }

  /** The caller gave up. */
  abort(error: Error): void {
    this.#end(error);
    this.resume();
  }

  /** The caller takes more. */
  resume(): void {
    this.#waking?.();
    this.#waking = undefined;
  }

  async #hand(
    { status, headers, body }: ReturnType<typeof checkFallback>,
    method: string | undefined,
  ): Promise<void> {
    const isBodiless = bodilessStatuses.has(status);
    const bytes = Buffer.from(body as Uint8Array);
    const all = isBodiless ? headers : { "content-length": String(bytes.length), ...headers };
    this.rawHeaders = Object.entries(all)
      .flat()
      .map((text) => Buffer.from(text, "latin1"));
    this.#handler.onResponseStart?.(this.#controller, status, all, undefined);
    await this.#whenWanted();
    if (this.#isOver) return;
    if (bytes.length > 0 && !isBodiless && method !== "HEAD") {
      this.#handler.onResponseData?.(this.#controller, bytes);
    }
    await this.#whenWanted();
    if (this.#isOver) return;
    this.#isOver = true;
    try {
      this.#handler.onResponseEnd?.(this.#controller, {});
    } catch (error) {
      // As undici does it.
      this.#fail(error as Error);
    }
  }

  async #whenWanted(): Promise<void> {
    while (this.#controller.paused && !this.#isOver) {
      await new Promise<void>((resolve) => {
        this.#waking = resolve;
      });
    }
  }

  #end(error: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#fail(error);
  }
}
