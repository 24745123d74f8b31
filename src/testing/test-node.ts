/** Nodes that are a function: undici dispatchers without sockets, for `createTestBalancer`. */
import type { IncomingHttpHeaders } from "node:http";
import { Dispatcher, errors } from "undici";
import type { Cluster } from "../cluster/cluster.ts";
import { type Clock, systemClock } from "../core/clock.ts";
import { outcomeOfTransportError } from "../http/classify.ts";
import { type ReadAnswer, readAnswer } from "./test-answer.ts";
import { bodyText, readHeaders } from "./test-request.ts";

/** One attempt, as a node would see it. */
export interface TestRequest {
  /** The node's address: `http://10.0.0.1:8080`. */
  readonly node: string;
  readonly method: string;
  /** With its query. */
  readonly path: string;
  /** By their lower-case names; several values of one are joined by ", ". */
  readonly headers: Readonly<Record<string, string>>;
  /** As text; empty if there is none. */
  readonly body: string;
  /** 1 for the first try of a call. */
  readonly attempt: number;
}

export interface TestAnswer {
  /** From 200 to 599. Default 200. */
  readonly status?: number | undefined;
  readonly headers?: Readonly<Record<string, string | readonly string[]>> | undefined;
  /** Text and bytes go as they are, any other value as JSON. Default: no body. */
  readonly body?: unknown;
  /** How long the node takes until its headers, on the balancer's clock. Default 0. */
  readonly delayMs?: number | undefined;
}

/** Nothing returned is a 200 without a body. */
export type Respond = (
  request: TestRequest,
  // biome-ignore lint/suspicious/noConfusingVoidType: a function that only looks at the request is one, too
) => TestAnswer | Error | void | Promise<TestAnswer | Error | undefined | void>;

/** What the nodes of one balancer have in common. */
export class TestNodes {
  readonly respond: Respond;
  readonly requests: TestRequest[] = [];
  clock: Clock = systemClock;
  /** The attempt that is being sent: undici's interface has no place for its node and number. */
  node = "";
  attempt = 0;

  constructor(respond: Respond) {
    this.respond = respond;
  }

  /** Learns from the cluster which attempt comes next: it is dispatched before anything else happens. */
  attach(cluster: Cluster): void {
    this.clock = cluster.clock;
    const begin = cluster.begin.bind(cluster);
    cluster.begin = (node, number, now) => {
      this.node = node.key;
      this.attempt = number;
      return begin(node, number, now);
    };
  }
}

/** One node. */
export class TestNode extends Dispatcher {
  readonly #nodes: TestNodes;
  readonly #exchanges: Set<TestExchange> = new Set();

  constructor(nodes: TestNodes) {
    super();
    this.#nodes = nodes;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const exchange = new TestExchange(this.#nodes.clock, handler, () => this.#exchanges.delete(exchange));
    this.#exchanges.add(exchange);
    exchange.run(this.#nodes, options);
    return true;
  }

  override async close(): Promise<void> {}

  override async destroy(error?: unknown): Promise<void> {
    const reason = error instanceof Error ? error : new errors.ClientDestroyedError();
    for (const exchange of [...this.#exchanges]) exchange.abort(reason);
  }
}

/** Outcomes of connections that did not come about: nothing was sent. */
const unsentReasons: ReadonlySet<string> = new Set(["refused", "unreachable", "connect", "shortage"]);

/** One attempt on one node: the controller that its handler is given. */
class TestExchange implements Dispatcher.DispatchController {
  aborted = false;
  paused = false;
  reason: Error | null = null;
  rawHeaders: string[] | null = null;
  rawTrailers: null = null;
  readonly #clock: Clock;
  readonly #handler: Dispatcher.DispatchHandler;
  readonly #onEnd: () => void;
  /** What is left to be delivered. */
  #steps: (() => void)[] = [];
  #isOver = false;
  #cancelDelay: (() => void) | undefined = undefined;

  constructor(clock: Clock, handler: Dispatcher.DispatchHandler, onEnd: () => void) {
    this.#clock = clock;
    this.#handler = handler;
    this.#onEnd = onEnd;
  }

  abort(reason: Error): void {
    if (this.#isOver) return;
    this.aborted = true;
    this.reason = reason ?? new errors.RequestAbortedError();
    this.#fail(this.reason);
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.#deliver();
  }

  run(nodes: TestNodes, options: Dispatcher.DispatchOptions): void {
    const { node, attempt } = nodes;
    const { method, path } = options;
    const answerTo = async (body: string): Promise<void> => {
      const request = { node, method, path, headers: readHeaders(options.headers), body, attempt };
      nodes.requests.push(request);
      await this.#answer(nodes.respond, request);
    };
    const fail = (error: unknown) => this.#fail(error as Error);
    const body = bodyText(options);
    if (typeof body === "string") answerTo(body).catch(fail);
    else body.then(answerTo).catch(fail);
  }

  async #answer(respond: Respond, request: TestRequest): Promise<void> {
    let answer: ReadAnswer | Error;
    try {
      const given = respond(request);
      // Known at once, it may be a connection that did not come about; else the node has the request from here on.
      const isUnsent = given instanceof Error && isWithoutConnection(given);
      // `dispatch` returns before anything is answered, as undici's does.
      await undefined;
      if (!isUnsent) this.#start();
      answer = readAnswer(await given);
    } catch (error) {
      this.#fail(mistake(error));
      return;
    }
    if (answer instanceof Error) this.#fail(answer);
    else this.#schedule(answer);
  }

  #start(): void {
    if (this.#isOver) return;
    this.#attempt(() => this.#handler.onRequestStart?.(this, null));
    this.#attempt(() => this.#handler.onRequestSent?.());
  }

  #schedule({ status, headers, body, delayMs }: ReadAnswer): void {
    if (this.#isOver) return;
    this.#steps = [
      () => {
        // undici's fetch takes the headers from here.
        this.rawHeaders = rawHeadersOf(headers);
        this.#handler.onResponseStart?.(this, status, headers, "");
      },
      () => {
        if (body.length > 0) this.#handler.onResponseData?.(this, body);
      },
      () => {
        this.#end();
        this.#handler.onResponseEnd?.(this, {});
      },
    ];
    if (delayMs === 0) {
      this.#deliver();
      return;
    }
    const timer = this.#clock.schedule(() => this.#deliver(), delayMs);
    // A test that waits for this answer has nothing else that keeps its process alive.
    timer.keepAlive(true);
    this.#cancelDelay = () => timer.cancel();
  }

  #deliver(): void {
    while (!this.paused && !this.#isOver) {
      const step = this.#steps.shift();
      if (step === undefined) return;
      this.#attempt(step);
    }
  }

  /** What a handler throws is the request's error, as with undici. */
  #attempt(step: () => void): void {
    if (this.#isOver) return;
    try {
      step();
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #fail(error: Error): void {
    if (!this.#end()) return;
    this.#handler.onResponseError?.(this, error);
  }

  #end(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.#steps = [];
    this.#cancelDelay?.();
    this.#onEnd();
    return true;
  }
}

function isWithoutConnection(error: Error): boolean {
  return unsentReasons.has(outcomeOfTransportError(error, true).reason);
}

/** An error that is held against no node and not tried again: undici's for a request that cannot be meant. */
function mistake(error: unknown): Error {
  const text = error instanceof Error ? error.message : String(error);
  return Object.assign(new errors.InvalidArgumentError(`respond: ${text}`), { cause: error });
}

function rawHeadersOf(headers: IncomingHttpHeaders): string[] {
  return Object.entries(headers).flatMap(([name, value]) =>
    [value ?? []].flat().flatMap((one) => [name, one]),
  );
}
