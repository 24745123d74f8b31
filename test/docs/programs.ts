/**
 * Makes programs of the blocks of the documentation, checks their types and runs them.
 *
 * They are laid out inside the repository, where `evenkeel` is the package itself, as built in dist/. Each line of
 * a program has the number that it has on its page, so that errors point there.
 */
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Block } from "./blocks.ts";
import { type Setup, startSetup } from "./setup.ts";

/** A block with those that continue it. */
export interface Program {
  /** Page and line, as in `README.md:42`. */
  readonly name: string;
  readonly setup: string | undefined;
  readonly blocks: readonly Block[];
}

const root = fileURLToPath(new URL("../../", import.meta.url));
/** What programs find beside them, as if a tool had generated it. */
const modules = fileURLToPath(new URL("modules", import.meta.url));
const tool = (name: string): string => join(root, "node_modules/.bin", name);

export function programsOf(blocks: readonly Block[]): readonly Program[] {
  const programs: Program[] = [];
  for (const block of blocks) {
    const name = `${block.page}:${block.line}`;
    if (!block.continues) {
      programs.push({ name, setup: block.setup, blocks: [block] });
      continue;
    }
    const last = programs.pop();
    if (last?.blocks.at(-1)?.page !== block.page) throw new Error(`${name}: there is no block to continue`);
    if (block.setup !== undefined)
      throw new Error(`${name}: the setup belongs to the first block of a program`);
    programs.push({ ...last, blocks: [...last.blocks, block] });
  }
  return programs;
}

export const isRun = (program: Program): boolean => program.blocks.some((block) => block.runs);

/** A folder for programs. Dispose of it to remove it. */
export class Workshop implements Disposable {
  readonly #folder: string;

  /** Two test runs of one checkout do not meet, as the process is in the name. */
  constructor(name: string) {
    this.#folder = join(root, ".cache", `${name}-${process.pid}`);
  }

  /** Type errors by the name of the program, from one run of the compiler over all of them. */
  async check(programs: readonly Program[]): Promise<ReadonlyMap<string, readonly string[]>> {
    const errors = new Map<string, string[]>(programs.map(({ name }) => [name, []]));
    for (const [i, program] of programs.entries()) this.#write(`check/${i}.ts`, textOf(program.blocks));
    cpSync(modules, join(this.#folder, "check"), { recursive: true });
    this.#write("check/tsconfig.json", JSON.stringify(compilerConfig));
    const { output } = await run(tool("tsc"), ["-p", "check", "--pretty", "false"], this.#folder, 60_000);
    let current: string[] | undefined;
    for (const line of output.split("\n")) {
      const [, index, row, message] = /^check\/(\d+)\.ts\((\d+),\d+\): (.*)$/.exec(line) ?? [];
      const program = programs[Number(index)];
      if (program !== undefined) {
        current = errors.get(program.name);
        current?.push(`${program.blocks[0]?.page}:${row}: ${message}`);
      } else if (/^\s+\S/.test(line) && current !== undefined) {
        current.push(line);
      } else if (line.trim() !== "") {
        throw new Error(`The compiler did not check the documentation:\n${output}`);
      }
    }
    return errors;
  }

  /** Runs the program in a process and a folder of its own. Rejects unless it ends by itself, without an error. */
  async run(program: Program, limitMs: number): Promise<string> {
    const name = `run/${program.name.replace(/[^\w.-]/g, "-")}`;
    this.#write(`${name}/program.ts`, "");
    const folder = join(this.#folder, name);
    cpSync(modules, folder, { recursive: true });
    await using setup = await (program.setup === undefined ? nothing : startSetup(program.setup, folder));
    const blocks = program.blocks.filter((block) => block.runs);
    this.#write(`${name}/program.ts`, withAddresses(textOf(blocks), setup.addresses));
    const { output, failure } = await run(tool("node"), ["program.ts"], folder, limitMs);
    if (failure !== undefined) throw new Error(`${program.name} ${failure}\n${output}`);
    return output;
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #write(path: string, text: string): void {
    const file = join(this.#folder, path);
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(file, text);
  }
}

const nothing: Setup = { addresses: {}, async [Symbol.asyncDispose]() {} };

/** As strict as the library itself, less what only matters to a library. */
const compilerConfig = {
  extends: "../../../tsconfig.json",
  compilerOptions: {
    declaration: false,
    isolatedDeclarations: false,
    moduleDetection: "force",
    noUnusedLocals: false,
    noUnusedParameters: false,
  },
  include: ["*.ts"],
};

function textOf(blocks: readonly Block[]): string {
  const lines: string[] = [];
  for (const block of blocks) {
    while (lines.length < block.line - 1) lines.push("");
    lines.push(...block.code.split("\n"));
  }
  return `${lines.join("\n")}\n`;
}

/** Longest first, so that `10.0.0.1:80` does not spoil `10.0.0.1:8080`. */
function withAddresses(text: string, addresses: Readonly<Record<string, string>>): string {
  const names = Object.keys(addresses).sort((a, b) => b.length - a.length);
  return names.reduce((result, name) => result.replaceAll(name, addresses[name] as string), text);
}

interface Ended {
  readonly output: string;
  readonly failure: string | undefined;
}

/** With a plain environment: what the test runner sets for itself must not change what a reader would see. */
function run(file: string, args: readonly string[], cwd: string, limitMs: number): Promise<Ended> {
  const { PATH, HOME } = process.env;
  const options = { cwd, env: { PATH, HOME }, timeout: limitMs, killSignal: "SIGKILL" } as const;
  const { promise, resolve } = Promise.withResolvers<Ended>();
  execFile(file, args, options, (error, stdout, stderr) => {
    resolve({ output: stdout + stderr, failure: error === null ? undefined : failureOf(error, limitMs) });
  });
  return promise;
}

function failureOf(error: { readonly killed?: boolean; readonly code?: unknown }, limitMs: number): string {
  return error.killed ? `did not end within ${limitMs / 1_000} s` : `ended with code ${error.code}`;
}
