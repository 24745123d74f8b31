/** The server of one layer: works for a while, calls the layer below where the request needs it, and answers. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { callSignal, type Protection, protect } from "../../server/index.ts";
import type { Caller } from "./caller.ts";
import { EvenkeelCaller } from "./evenkeel-caller.ts";
import type { LayerBehaviour, LayerPlan, LayerStats } from "./messages.ts";
import { PlainCaller } from "./plain-caller.ts";
import { deadlineHeader, turnMs } from "./plan.ts";
import { Workers } from "./workers.ts";

/** Status and body of an answer. */
type Outcome = readonly [status: number, text: string];

/** Paths from which C is needed; anything else ends at B. */
export const withC = "/with-c";
export const withoutC = "/without-c";

export class LayerServer {
  readonly server: Server;
  readonly #workers: Workers;
  readonly #caller: Caller | undefined;
  readonly #protection: Protection | undefined;
  /** A hands everything on; B what needs C. */
  readonly #handsOnAll: boolean;
  readonly #name: string;
  #requests = 0;
  #failed = 0;
  #inflight = 0;

  constructor({ kind, name, behaviour, leastLimit, below }: LayerPlan) {
    this.#workers = new Workers(behaviour);
    this.#handsOnAll = name === "A";
    this.#name = name;
    if (below !== undefined) {
      const { addresses, settings } = below;
      this.#caller =
        kind === "evenkeel"
          ? new EvenkeelCaller(below.name, addresses, settings)
          : new PlainCaller(addresses, settings);
    }
    this.#protection =
      kind === "evenkeel"
        ? protect({ name, deadlineHeader, limits: { adaptive: { min: leastLimit }, turnMs } })
        : undefined;
    const handler = (request: IncomingMessage, response: ServerResponse): void => {
      void this.#answer(request.url ?? "/", response);
    };
    const listener = this.#protection?.listener(handler) ?? handler;
    this.server = createServer((request, response) => {
      this.#count(response);
      listener(request, response);
    });
  }

  get stats(): LayerStats {
    const { done, doneMs } = this.#workers;
    const { deadline = 0, eventLoop = 0, concurrency = 0 } = this.#protection?.status.refused ?? {};
    return {
      requests: this.#requests,
      failed: this.#failed,
      inflight: this.#inflight,
      worked: done,
      workedMs: doneMs,
      rssBytes: process.memoryUsage.rss(),
      shed: deadline + eventLoop + concurrency,
      limit: this.#protection?.status.limit,
      below: this.#caller?.stats,
    };
  }

  configure(change: Partial<LayerBehaviour>): void {
    this.#workers.behaviour = { ...this.#workers.behaviour, ...change };
  }

  /** Refused requests too: what the handler never sees is answered as well. */
  #count(response: ServerResponse): void {
    this.#requests++;
    this.#inflight++;
    response.once("close", () => {
      this.#inflight--;
      if (response.statusCode >= 500) this.#failed++;
    });
  }

  async #answer(path: string, response: ServerResponse): Promise<void> {
    const [status, text] = await this.#outcomeOf(path);
    // The deadline may have been answered already.
    if (response.headersSent) return;
    response.writeHead(status, { "content-type": "text/plain" });
    response.end(text);
  }

  async #outcomeOf(path: string): Promise<Outcome> {
    const { status } = this.#workers.behaviour;
    if (status >= 500) return [status, `${this.#name} fails`];
    // Without `protect` there is none: nobody tells this server who has gone.
    await this.#workers.work(callSignal());
    if (this.#caller === undefined || !(this.#handsOnAll || path === withC)) return [200, "good"];
    try {
      const { status, text } = await this.#caller.call(path);
      return status >= 500 ? [502, `${this.#name} got ${status}: ${text}`] : [status, text];
    } catch (error) {
      return [503, `${this.#name} got no answer: ${String(error)}`];
    }
  }
}
