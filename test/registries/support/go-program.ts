/** One of the Go programs of `interop/`: prints a JSON object a line, and ends when its standard input does. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { until } from "../../support/until.ts";
import { findServer } from "./find-server.ts";

type Line = Readonly<Record<string, unknown>>;

const limitMs = 15_000;

export class GoProgram implements AsyncDisposable {
  readonly #name: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lines: Line[] = [];
  #errors = "";
  #isOver = false;

  private constructor(name: string, child: ChildProcessByStdio<Writable, Readable, Readable>) {
    this.#name = name;
    this.#child = child;
    createInterface(child.stdout).on("line", (line) => this.#lines.push(JSON.parse(line) as Line));
    child.stderr.on("data", (text: Buffer) => {
      this.#errors += text.toString();
    });
    child.once("exit", () => {
      this.#isOver = true;
    });
  }

  static start(name: string, parameters: readonly string[]): GoProgram {
    const binary = findServer(name);
    if (binary === undefined) throw new Error(`there is no ${name}: run scripts/servers`);
    return new GoProgram(name, spawn(binary, parameters, { stdio: ["pipe", "pipe", "pipe"] }));
  }

  /** Resolves with the last line that the program has printed, once that fulfils the condition. */
  async until(what: string, condition: (line: Line) => boolean): Promise<Line> {
    const holds = (): boolean => {
      const last = this.#lines.at(-1);
      return this.#isOver || (last !== undefined && condition(last));
    };
    try {
      await until(`${this.#name} ${what}`, holds, limitMs);
      if (this.#isOver) throw new Error(`${this.#name} has ended`);
    } catch (error) {
      throw new Error(
        `${(error as Error).message}; it said ${JSON.stringify(this.#lines.at(-1))} ${this.#errors}`,
        {
          cause: error,
        },
      );
    }
    return this.#lines.at(-1) as Line;
  }

  /** Lets it end by itself, which takes a registration back. */
  async end(): Promise<void> {
    if (this.#isOver) return;
    const ended = once(this.#child, "exit");
    this.#child.stdin.end();
    const [code] = await ended;
    if (code !== 0) throw new Error(`${this.#name} ended with ${code}: ${this.#errors}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOver) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }
}
