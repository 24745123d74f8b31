/**
 * A port at which connecting takes for ever: neither accepted nor refused.
 *
 * A listening socket whose queue of connections to accept is full drops every further SYN (Linux). Node accepts
 * whatever comes, so the listener is in a thread of its own, which stands still; connections of our own fill its queue.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";

/** The same file beside this one, as it was run: TypeScript in the repository, JavaScript in the package. */
const program = new URL(`./deaf-thread${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);

/** The queue of a listener with a backlog of 1 takes two on Linux; elsewhere it may be rounded up. */
const mostFillers = 32;
/** A connection on this machine that is not there after this time is not coming. */
const unansweredMs = 100;

export class DeafPort {
  readonly #thread: Worker;
  readonly #wake: Int32Array;
  readonly #fillers: Socket[] = [];

  private constructor(thread: Worker, wake: Int32Array) {
    this.#thread = thread;
    this.#wake = wake;
  }

  /** Starts the thread, which listens nowhere yet. */
  static async prepare(): Promise<DeafPort> {
    const wake = new Int32Array(new SharedArrayBuffer(4));
    const thread = new Worker(program, { workerData: wake, execArgv: [] });
    await once(thread, "online");
    return new DeafPort(thread, wake);
  }

  /**
   * From when it resolves, nobody gets through to the port.
   *
   * @throws Error when the port cannot be listened at, or this system accepts every connection.
   */
  async listen(host: string, port: number): Promise<void> {
    this.#thread.postMessage({ host, port });
    await once(this.#thread, "message");
    for (let connected = true; connected; ) {
      if (this.#fillers.length === mostFillers)
        throw new Error(`no queue of ${host}:${port} ever fills here`);
      const filler = connect({ host, port });
      filler.on("error", () => {});
      this.#fillers.push(filler);
      connected = await Promise.race([
        once(filler, "connect").then(() => true),
        sleep(unansweredMs).then(() => false),
      ]);
    }
  }

  /** The port is free when it resolves. */
  async close(): Promise<void> {
    for (const filler of this.#fillers) filler.destroy();
    Atomics.store(this.#wake, 0, 1);
    Atomics.notify(this.#wake, 0);
    await this.#thread.terminate();
  }
}
