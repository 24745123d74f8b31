/** Runs one of the programs beside the tests in a process of its own, and takes what it prints as JSON. */
import { spawn } from "node:child_process";
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
  /**
   * Gives it a network of its own, with nothing but a loopback interface, which is gone when the process is: what it
   * does to its packets concerns nobody else. See packet-filter.ts.
   */
  readonly ownNetwork?: boolean;
  /** Beside those of this process. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly limitMs: number;
}

/** A shell's way to limit and change a process before it becomes the program; `$@` is the program. */
function shellFor({ descriptors, ownNetwork }: ChildOptions): readonly string[] {
  const steps = [
    ...(descriptors === undefined ? [] : [`ulimit -n ${descriptors}`]),
    ...(ownNetwork === true ? ["ip link set lo up"] : []),
  ];
  if (steps.length === 0) return [];
  const shell = ["bash", "-c", [...steps, 'exec "$@"'].join(" && "), "bash"];
  if (ownNetwork !== true) return shell;
  // Whoever is not root is root in a user namespace of his own, where the system allows that.
  const asRoot = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  return ["unshare", "--net", ...asRoot, "--", ...shell];
}

/**
 * @param program a file name in test/support/.
 * @throws Error with what it wrote to stderr, when it fails or has not ended by itself within `limitMs`.
 */
export async function runChild<Report>(program: string, options: ChildOptions): Promise<ChildResult<Report>> {
  const path = fileURLToPath(new URL(program, import.meta.url));
  const [command, ...parameters] = [
    ...shellFor(options),
    process.execPath,
    ...(options.nodeOptions ?? []),
    path,
    ...(options.arguments ?? []),
  ];
  const startedAt = performance.now();
  const child = spawn(command as string, parameters, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...options.environment },
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), options.limitMs);
  const ended = new Promise<string>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(signal ?? String(code)));
  });
  const [end, output, errors] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  clearTimeout(timer);
  const tookMs = performance.now() - startedAt;
  const lastLine = output.trimEnd().split("\n").at(-1);
  if (end !== "0" || lastLine === undefined || lastLine === "") {
    const needs = options.ownNetwork === true ? " (it needs unshare, ip and the right to use them)" : "";
    throw new Error(
      `${program} ended with ${end} after ${Math.round(tookMs)} ms${needs}: ${output}${errors}`,
    );
  }
  return { report: JSON.parse(lastLine) as Report, tookMs };
}
