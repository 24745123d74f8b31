/** One registry server as a process that tests can kill, restart and wipe: always the same ports, the same data. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A real registry server under a test's control. */
export interface RegistryServer extends AsyncDisposable {
  /** `127.0.0.1:port`, where its clients connect. */
  readonly address: string;
  /** Of the present process; a restart brings another. */
  readonly pid: number;
  readonly isRunning: boolean;
  /** SIGKILL, as a crash: resolves when the process is gone. */
  kill(): Promise<void>;
  /** A new process on the same ports and the same data, once the old one is gone; resolves when it serves. */
  restart(): Promise<void>;
  /** Kills it, throws its data away and starts it again on the same ports; resolves when it serves. */
  wipe(): Promise<void>;
  /** SIGSTOP and SIGCONT: connections stay open and nothing is answered. */
  freeze(): void;
  thaw(): void;
  /** The end of what the present process, or the last one, wrote. */
  log(): string;
}

export interface ServerPlan {
  /** For messages and the temporary folder. */
  readonly name: string;
  readonly binary: string;
  /** The arguments and what is added to the environment, for data in `dataDir`. */
  launch(dataDir: string): {
    readonly args: readonly string[];
    readonly environment?: Readonly<Record<string, string>>;
  };
  /** Whether it serves now. Asked again and again from the start on; throwing is a no. */
  isReady(): Promise<boolean>;
  /**
   * For servers that now and then start and never serve: whether this launch is one of those, by what it wrote and how
   * long it has run. It is then launched again.
   */
  isBroken?(log: string, runsMs: number): boolean;
  /** Makes what a fresh, empty server needs, such as users. */
  prepare?(): Promise<void>;
}

/** A cold start on a busy machine has taken 10 s. */
const readyLimitMs = 45_000;

const running: Set<ChildProcess> = new Set();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export class ServerProcess implements RegistryServer {
  readonly address: string;
  readonly #plan: ServerPlan;
  readonly #folder: string;
  #child: ChildProcess | undefined;

  private constructor(address: string, plan: ServerPlan, folder: string) {
    this.address = address;
    this.#plan = plan;
    this.#folder = folder;
  }

  /** @throws Error with the end of its log when it does not serve within 45 s. */
  static async start(address: string, plan: ServerPlan): Promise<ServerProcess> {
    const folder = await mkdtemp(join(tmpdir(), `evenkeel-${plan.name}-`));
    const server = new ServerProcess(address, plan, folder);
    try {
      await server.#launch("empty");
      await plan.prepare?.();
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    return server;
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error(`${this.#plan.name} at ${this.address} does not run`);
    return pid;
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const gone = once(child, "exit");
    child.ref();
    child.kill("SIGKILL");
    await gone;
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.#launch("as it was");
  }

  async wipe(): Promise<void> {
    await this.kill();
    await this.#launch("empty");
    await this.#plan.prepare?.();
  }

  freeze(): void {
    this.#child?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  log(): string {
    return readFileSync(this.#logFile, "utf8").slice(-4_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }

  get #dataDir(): string {
    return join(this.#folder, "data");
  }

  get #logFile(): string {
    return join(this.#folder, "log");
  }

  async #launch(data: "empty" | "as it was"): Promise<void> {
    const { name, isReady, isBroken } = this.#plan;
    const startedAt = performance.now();
    let findFailure = await this.#spawn(data);
    for (let launchedAt = startedAt; ; await sleep(20)) {
      const failure = findFailure();
      if (failure === undefined && (await isReady().catch(() => false))) return;
      if (failure !== undefined || performance.now() - startedAt > readyLimitMs) {
        const why = failure?.message ?? `it does not answer after ${readyLimitMs} ms`;
        throw new Error(`${name} at ${this.address} does not serve: ${why}\n${this.log()}`, {
          cause: failure,
        });
      }
      if (isBroken?.(this.log(), performance.now() - launchedAt) === true) {
        await this.kill();
        launchedAt = performance.now();
        findFailure = await this.#spawn(data);
      }
    }
  }

  /** Returns what tells why the process is gone, or undefined while it runs. */
  async #spawn(data: "empty" | "as it was"): Promise<() => Error | undefined> {
    const { binary, launch } = this.#plan;
    if (data === "empty") await rm(this.#dataDir, { recursive: true, force: true });
    await mkdir(this.#dataDir, { recursive: true, mode: 0o700 });
    const { args, environment } = launch(this.#dataDir);
    const log = openSync(this.#logFile, "w");
    const child = spawn(binary, args, {
      cwd: this.#folder,
      env: { ...process.env, ...environment },
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    let failure: Error | undefined;
    running.add(child);
    child.once("error", (error) => {
      failure = error;
    });
    child.once("exit", (code, signal) => {
      failure ??= new Error(`it ended with ${signal ?? code}`);
      running.delete(child);
      if (this.#child === child) this.#child = undefined;
    });
    this.#child = child;
    // The tests' own process must be able to end, whatever becomes of this one.
    child.unref();
    return () => failure;
  }
}
