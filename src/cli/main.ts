#!/usr/bin/env node
/** The command line: finds the command and hands it its arguments. */
import { readFileSync } from "node:fs";
import { UsageError } from "./usage.ts";

interface Manifest {
  readonly version: string;
  readonly engines: { readonly node: string };
}

interface Command {
  readonly summary: string;
  /** Its code is loaded when it is called: an old Node.js is to get a message, and not a stack from within undici. */
  load(): Promise<Run>;
}

/** @returns the exit code. @throws UsageError */
type Run = (args: readonly string[]) => Promise<number>;

const commands: ReadonlyMap<string, Command> = new Map([
  [
    "demo",
    {
      summary:
        "processes in trouble, and what becomes of the calls; --chain for services that call each other",
      load: async () => (await import("./demo.ts")).demo,
    },
  ],
  [
    "record",
    {
      summary: "write down what a program's calls meet, as a trace",
      load: async () => (await import("./record.ts")).record,
    },
  ],
  [
    "replay",
    {
      summary: "what each policy would have made of a trace, by simulation",
      load: async () => (await import("./replay.ts")).replay,
    },
  ],
]);

const listed = Array.from(commands, ([name, { summary }]) => `  ${name.padEnd(10)} ${summary}`).join("\n");
const help = `evenkeel: client-side load balancing for Node.js

Usage: evenkeel <command> [options]

Commands:
${listed}

Options:
  -h, --help     this text; evenkeel <command> --help for a command's own
  -v, --version  the version
`;

async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === "--help" || name === "-h") {
    process.stdout.write(help);
    return 0;
  }
  const { version, engines } = readManifest();
  if (name === "--version" || name === "-v") {
    process.stdout.write(`${version}\n`);
    return 0;
  }
  if (name === undefined) throw new UsageError("a command is missing");
  const command = commands.get(name);
  if (command === undefined) {
    const kind = name.startsWith("-") ? "option" : "command";
    throw new UsageError(`unknown ${kind} "${name}"; there is ${Array.from(commands.keys()).join(", ")}`);
  }
  if (isOlder(process.versions.node, engines.node)) {
    throw new UsageError(`Node.js ${engines.node} is needed, this is ${process.versions.node}`);
  }
  return (await command.load())(args);
}

function readManifest(): Manifest {
  return JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as Manifest;
}

/** @param range `>=major.minor`, as our package.json has it. */
function isOlder(version: string, range: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = range.replace(">=", "").split(".").map(Number);
  return major < oldestMajor || (major === oldestMajor && minor < oldestMinor);
}

function commandOf(name = ""): readonly string[] {
  return commands.has(name) ? [name] : [];
}

/** With the stack: an error that is not the user's is a defect to report. */
function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const isUsage = error instanceof UsageError;
  process.stderr.write(`evenkeel: ${isUsage ? error.message : describe(error)}\n`);
  if (isUsage)
    process.stderr.write(`Try: ${["evenkeel", ...commandOf(process.argv[2]), "--help"].join(" ")}\n`);
  process.exitCode = isUsage ? 2 : 1;
}
