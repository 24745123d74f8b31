/** Runs one of the programs beside the tests in a process of its own, and takes what it prints as JSON. */
import { type SpawnOptions, spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

export interface ChildResult<Report> {
  /** The JSON object that the program printed last. */
  readonly report: Report;
  /** From its start to its end. */
  readonly tookMs: number;
}

export interface ChildOptions {
  readonly nodeOptions?: readonly string[];
  readonly arguments?: readonly string[];
  /** The most file descriptors that the process may have (`ulimit -n`). */
  readonly descriptors?: number;
  /** Added to this process's own environment. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly limitMs: number;
}

/**
 * @param program a file name in test/support/.
 * @throws Error with what it wrote to stderr, when it fails or has not ended by itself within `limitMs`.
 */
export async function runChild<Report>(program: string, options: ChildOptions): Promise<ChildResult<Report>> {
  const path = fileURLToPath(new URL(program, import.meta.url));
  const command = [process.execPath, ...(options.nodeOptions ?? []), path, ...(options.arguments ?? [])];
  const stdio: SpawnOptions["stdio"] = ["ignore", "pipe", "pipe"];
  const startedAt = performance.now();
  const env = { ...process.env, ...options.environment };
  const child =
    options.descriptors === undefined
      ? spawn(command[0] as string, command.slice(1), { stdio, env })
      : spawn("bash", ["-c", `ulimit -n ${options.descriptors} && exec "$@"`, "bash", ...command], {
          stdio,
          env,
        });
  const timer = setTimeout(() => child.kill("SIGKILL"), options.limitMs);
  const ended = new Promise<string>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(signal ?? String(code)));
  });
  if (child.stdout === null || child.stderr === null) throw new Error("the child has no output");
  const [end, output, errors] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  clearTimeout(timer);
  const tookMs = performance.now() - startedAt;
  const lastLine = output.trimEnd().split("\n").at(-1);
  if (end !== "0" || lastLine === undefined || lastLine === "") {
    throw new Error(`${program} ended with ${end} after ${Math.round(tookMs)} ms: ${output}${errors}`);
  }
  return { report: JSON.parse(lastLine) as Report, tookMs };
}
