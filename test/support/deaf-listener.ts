/** An address at which connecting takes for ever: neither accepted nor refused. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export class DeafListener implements AsyncDisposable {
  readonly address: string;
  readonly #child: ChildProcess;
  readonly #fillers: readonly Socket[];

  private constructor(child: ChildProcess, port: number, fillers: readonly Socket[]) {
    this.#child = child;
    this.address = `http://127.0.0.1:${port}`;
    this.#fillers = fillers;
  }

  /** @throws Error when connections are still taken after its backlog was filled. */
  static async start(): Promise<DeafListener> {
    const child = fork(new URL("./deaf-program.ts", import.meta.url), { execArgv: [] });
    const [{ port }] = (await once(child, "message")) as [{ port: number }];
    await sleep(50);
    const fillers = Array.from({ length: 8 }, () => connect({ port, host: "127.0.0.1" }));
    for (const filler of fillers) filler.on("error", () => {});
    await sleep(200);
    const listener = new DeafListener(child, port, fillers);
    if (fillers.every((filler) => !filler.connecting)) {
      await listener[Symbol.asyncDispose]();
      throw new Error("the backlog takes every connection");
    }
    return listener;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const filler of this.#fillers) filler.destroy();
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }
}
