/** The service processes of one run, HTTP or gRPC, none of which outlives it. */
import { startBackend } from "../../src/testing/backend.ts";
import { startGrpcBackend } from "./grpc-backend.ts";
import type { Fault } from "./plan.ts";
import { work } from "./plan.ts";

/** One service process and what can be done to it; `Backend` without its statistics. */
export interface Instance {
  readonly address: string;
  readonly pid: number;
  configure(behaviour: { readonly workMs?: number; readonly status?: number }): Promise<void>;
  kill(): Promise<void>;
  freeze(): void;
  thaw(): void;
  restart(): Promise<Instance>;
}

export type Protocol = "http" | "grpc";

/** 128 + the signal's number, as shells report it. */
const exitCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** Processes that lose their parent end by themselves, but a frozen one cannot: so all are killed on every way out. */
export class Fleet implements AsyncDisposable {
  readonly #instances: Instance[] = [];
  readonly #onExit = (): void => {
    for (const { pid } of this.#instances) killQuietly(pid);
  };
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    process.exit(exitCodes[signal as keyof typeof exitCodes]);
  };

  private constructor() {
    process.once("exit", this.#onExit);
    for (const signal of Object.keys(exitCodes)) process.once(signal, this.#onSignal);
  }

  static async start(protocol: Protocol, count: number): Promise<Fleet> {
    const fleet = new Fleet();
    try {
      const start = protocol === "http" ? () => startBackend(work) : () => startGrpcBackend(work);
      const add = async (): Promise<void> => {
        fleet.#instances.push(await start());
      };
      await Promise.all(Array.from({ length: count }, add));
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  get addresses(): readonly string[] {
    return this.#instances.map(({ address }) => address);
  }

  async strike(fault: Fault, index: number): Promise<void> {
    await fault.strike(this.#instances[index] as Instance);
  }

  async end(fault: Fault, index: number): Promise<void> {
    this.#instances[index] = await fault.end(this.#instances[index] as Instance);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#instances.map((instance) => instance.kill()));
    process.off("exit", this.#onExit);
    for (const signal of Object.keys(exitCodes)) process.off(signal, this.#onSignal);
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}
