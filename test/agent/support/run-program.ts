/** Runs a program of test/agent/programs/ on a Node.js, to its own end, and takes what it prints as JSON. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** A program takes some two seconds on a busy machine; one that is not done by then does not end by itself. */
const limitMs = 25_000;

/** @throws Error with all that it wrote, when it fails or has not ended by itself within the limit. */
export async function runProgram<Report>(node: string, program: string, argument: unknown): Promise<Report> {
  const path = fileURLToPath(new URL(`../programs/${program}`, import.meta.url));
  const args = ["--disable-warning=ExperimentalWarning", path, JSON.stringify(argument)];
  const { stdout, stderr } = await promisify(execFile)(node, args, { timeout: limitMs });
  if (stderr !== "") throw new Error(`${program} wrote to stderr: ${stderr}`);
  return JSON.parse(stdout) as Report;
}
