/** What a backend does with a request: it waits for a worker, who takes a while, and answers. */
import { appendFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { constants, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { type BackendBehaviour, type BackendStats, defaultBehaviour } from "./behaviour.ts";

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };
type Counts = Record<string, number>;

export type Request = IncomingMessage | Http2ServerRequest;
export type Response = ServerResponse | Http2ServerResponse;

export class Work {
  readonly behaviour: Writable<BackendBehaviour> = { ...defaultBehaviour };
  readonly stats: Writable<BackendStats> & { readonly keys: Counts; readonly versions: Counts } = {
    requests: 0,
    inflight: 0,
    connections: 0,
    keys: {},
    versions: {},
  };
  readonly #startedAt: number = performance.now();
  readonly #queue: (() => void)[] = [];
  #busy = 0;

  handle(request: Request, response: Response): void {
    const { stats, behaviour } = this;
    stats.requests++;
    stats.versions[request.httpVersion] = (stats.versions[request.httpVersion] ?? 0) + 1;
    this.#countKey(request.headers["x-test-key"]);
    if ("stream" in request && (behaviour.refuseStreams || behaviour.calm)) {
      const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_REFUSED_STREAM } = constants;
      // Without an error the code would be taken for "no error".
      if (behaviour.calm) request.stream.session?.destroy(new Error("calm"), NGHTTP2_ENHANCE_YOUR_CALM);
      else request.stream.close(NGHTTP2_REFUSED_STREAM);
      return;
    }
    stats.inflight++;
    let bytesReceived = 0;
    request.on("data", (chunk: Buffer) => {
      bytesReceived += chunk.length;
    });
    request.on("end", () => {
      const isCheck = behaviour.healthStatus !== 0 && request.url === "/health";
      const status = isCheck ? behaviour.healthStatus : behaviour.status;
      const answer = () => this.#answer(response, status, bytesReceived);
      // A failing instance fails at once: that is what makes it a sinkhole.
      if (isCheck || status >= 500) answer();
      else this.#whenWorkerFree(answer);
    });
  }

  /** Lets a test count how often one call arrived, whatever node it arrived at. */
  #countKey(key: string | readonly string[] | undefined): void {
    if (typeof key !== "string") return;
    this.stats.keys[key] = (this.stats.keys[key] ?? 0) + 1;
    if (this.behaviour.journal !== "") appendFileSync(this.behaviour.journal, `${key}\n`);
  }

  /** Runs `work` when a worker is free and has taken his time. */
  #whenWorkerFree(work: () => void): void {
    const run = () => {
      this.#busy++;
      setTimeout(() => {
        this.#busy--;
        work();
        this.#queue.shift()?.();
      }, this.#workMs());
    };
    if (this.#busy < this.behaviour.workers) run();
    else this.#queue.push(run);
  }

  #workMs(): number {
    const { coldMs, coldWorkMs, workMs } = this.behaviour;
    return performance.now() - this.#startedAt < coldMs ? coldWorkMs : workMs;
  }

  #answer(response: Response, status: number, bytesReceived: number): void {
    this.stats.inflight--;
    const { body: given, bodyMs } = this.behaviour;
    response.statusCode = status;
    response.setHeader("content-type", "application/json");
    const body = given || JSON.stringify({ pid: process.pid, bytesReceived });
    // Not the interface of both in one, whose overloads differ.
    const sink = response as ServerResponse;
    if (bodyMs === 0) {
      sink.end(body);
      return;
    }
    const half = Math.ceil(body.length / 2);
    sink.write(body.slice(0, half));
    setTimeout(() => sink.end(body.slice(half)), bodyMs);
  }
}
