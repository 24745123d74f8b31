/** Starts and steers one process of the chain: its work, its counters, freezing it, ending it. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { LayerBehaviour, LayerMessage, LayerPlan, LayerReply, LayerStats } from "./messages.ts";

/** The same file beside this one, as it was run: TypeScript in the repository, JavaScript in the package. */
const program = new URL(`./layer-process${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);

/** One process. It ends with this one, by the loss of its IPC channel. */
export class Layer {
  readonly address: string;
  readonly pid: number;
  readonly #child: ChildProcess;
  #asked = 0;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.address = `http://127.0.0.1:${port}`;
    this.pid = child.pid as number;
  }

  /** @throws Error with the reason when it cannot serve. */
  static async start(plan: LayerPlan): Promise<Layer> {
    const child = fork(program, { stdio: ["ignore", "ignore", "inherit", "ipc"], execArgv: [] });
    // Whatever becomes of this one, our own process must be able to end.
    child.unref();
    child.channel?.unref();
    const listening = nextReply(child, plan.name, (reply) => reply.kind === "listening");
    child.send({ kind: "start", plan } satisfies LayerMessage);
    const reply = await listening;
    return new Layer(child, (reply as Extract<LayerReply, { kind: "listening" }>).port);
  }

  /** Changes what it does; resolves when it does. */
  async configure(behaviour: Partial<LayerBehaviour>): Promise<void> {
    const configured = nextReply(this.#child, this.address, ({ kind }) => kind === "configured");
    this.#child.send({ kind: "configure", behaviour } satisfies LayerMessage);
    await configured;
  }

  /** A frozen process answers when it runs again. */
  async stats(): Promise<LayerStats> {
    const id = ++this.#asked;
    const answered = nextReply(
      this.#child,
      this.address,
      (reply) => reply.kind === "stats" && reply.id === id,
    );
    this.#child.send({ kind: "stats", id } satisfies LayerMessage);
    return ((await answered) as Extract<LayerReply, { kind: "stats" }>).stats;
  }

  /** SIGSTOP: connections stay open, nothing is answered. */
  freeze(): void {
    this.#child.kill("SIGSTOP");
  }

  /** SIGCONT. */
  thaw(): void {
    this.#child.kill("SIGCONT");
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.ref();
    this.#child.kill("SIGKILL");
    await gone;
  }
}

/** @throws Error when the process ends first, or says that it cannot. */
function nextReply(
  child: ChildProcess,
  name: string,
  isWanted: (reply: LayerReply) => boolean,
): Promise<LayerReply> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void): void => {
      child.off("message", onMessage);
      child.off("exit", onExit);
      // While a reply is awaited the channel keeps this process alive, else it does not.
      child.channel?.unref();
      finish();
    };
    const onMessage = (message: unknown): void => {
      const reply = message as LayerReply;
      if (isWanted(reply)) settle(() => resolve(reply));
      else if (reply.kind === "failed")
        settle(() => reject(new Error(`${name} cannot serve: ${reply.message}`)));
    };
    const onExit = (): void => settle(() => reject(new Error(`process ${child.pid} of ${name} ended`)));
    child.on("message", onMessage);
    child.on("exit", onExit);
    child.channel?.ref();
  });
}
