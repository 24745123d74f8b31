#!/usr/bin/env node
/** The command line: finds the command and hands it its arguments. */
import { readFileSync } from "node:fs";
import { demo } from "./demo.ts";
import { UsageError } from "./usage.ts";

interface Command {
  readonly summary: string;
  /** @returns the exit code. @throws UsageError. */
  run(args: readonly string[]): Promise<number>;
}

const commands: ReadonlyMap<string, Command> = new Map([
  ["demo", { summary: "five processes, six phases of trouble, and what becomes of the calls", run: demo }],
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
  if (name === "--version" || name === "-v") {
    const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
    process.stdout.write(`${(JSON.parse(manifest) as { version: string }).version}\n`);
    return 0;
  }
  if (name === undefined) throw new UsageError("a command is missing");
  const command = commands.get(name);
  if (command !== undefined) return command.run(args);
  const kind = name.startsWith("-") ? "option" : "command";
  throw new UsageError(`unknown ${kind} "${name}"; there is ${Array.from(commands.keys()).join(", ")}`);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const isUsage = error instanceof UsageError;
  process.stderr.write(`evenkeel: ${isUsage ? error.message : describe(error)}\n`);
  if (isUsage) process.stderr.write("Try: evenkeel --help\n");
  process.exitCode = isUsage ? 2 : 1;
}

/** With the stack: an error that is not the user's is a defect to report. */
function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
