/** `evenkeel record`: runs a program and writes down each attempt that it makes through Evenkeel. */
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { resolve } from "node:path";
import { type TraceHeader, traceVersion } from "./record-format.ts";
import { parseTrace } from "./replay-trace.ts";
import { parseOptions, UsageError } from "./usage.ts";

const defaultFile = "evenkeel-trace.jsonl";

const help = `evenkeel record: write down what a program's calls meet

Runs the command and writes a line of JSON for each attempt that ends in it, or in any Node.js process that it starts:
when, to which node, how it ended, how long it took. Paths, headers and bodies are not recorded. The program runs as it
would without; its exit code is kept.

Usage: evenkeel record [options] -- <command> [arguments]

  evenkeel record -- node app.js
  evenkeel record --out trace.jsonl -- npm start

Options:
  --out <file>  the trace to write; must not exist yet (default ${defaultFile})
  -h, --help    this text

Then: evenkeel replay ${defaultFile}
`;

/** The same file beside this one, as it was run: TypeScript in the repository, JavaScript in the package. */
const hook = new URL(`./record-hook${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);

/** @returns the program's exit code; 128 and the signal's number when a signal ended it. @throws UsageError */
export async function record(args: readonly string[]): Promise<number> {
  const end = args.indexOf("--");
  const given = parseOptions(end < 0 ? args : args.slice(0, end), {
    out: { type: "string" },
    help: { type: "boolean", short: "h" },
  });
  if (given.help === true) {
    process.stdout.write(help);
    return 0;
  }
  const [command, ...rest] = end < 0 ? [] : args.slice(end + 1);
  if (command === undefined) {
    throw new UsageError("the command to record is missing: evenkeel record -- node app.js");
  }
  const out = given.out ?? defaultFile;
  create(out);
  const code = await run(command, rest, resolve(out));
  process.stderr.write(`evenkeel: ${describe(out)}\n`);
  return code;
}

/** Whatever became of the trace, the program's exit code is what counts. */
function describe(out: string): string {
  try {
    const { length } = parseTrace(readFileSync(out, "utf8")).attempts;
    return `${length} attempt${length === 1 ? "" : "s"} recorded in ${out}`;
  } catch (error) {
    return `${out} is no trace any more: ${(error as Error).message}`;
  }
}

/** @throws UsageError when the file cannot be made, or exists: it may be a trace that is still wanted. */
function create(out: string): void {
  const header: TraceHeader = { evenkeel: "trace", version: traceVersion, at: Date.now() };
  try {
    const descriptor = openSync(out, "wx");
    writeSync(descriptor, `${JSON.stringify(header)}\n`);
    closeSync(descriptor);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new UsageError(
      code === "EEXIST"
        ? `${out} exists; remove it or name another with --out`
        : `--out ${out} cannot be written: ${message}`,
    );
  }
}

async function run(command: string, args: readonly string[], out: string): Promise<number> {
  const options = [process.env.NODE_OPTIONS, `--import=${hook.href}`];
  const child = spawn(command, args, {
    stdio: "inherit",
    env: { ...process.env, NODE_OPTIONS: options.filter(Boolean).join(" "), EVENKEEL_RECORD_FILE: out },
  });
  // Ctrl-C reaches the program by itself; it is the program's to end then, and ours to wait for it.
  const ignore = (): void => {};
  const forward = (signal: NodeJS.Signals): void => {
    child.kill(signal);
  };
  process.on("SIGINT", ignore);
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, forward);
  try {
    return await new Promise<number>((finish, fail) => {
      child.once("error", (error) => {
        rmSync(out, { force: true });
        fail(new UsageError(`${command} cannot be started: ${error.message}`));
      });
      child.once("exit", (code, signal) => {
        finish(code ?? 128 + constants.signals[signal ?? "SIGTERM"]);
      });
    });
  } finally {
    process.off("SIGINT", ignore);
    for (const signal of ["SIGTERM", "SIGHUP"] as const) process.off(signal, forward);
  }
}
