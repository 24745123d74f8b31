/** Programs that serve in a process of their own and say where. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";

export interface Program {
  readonly child: ChildProcess;
  /** The first thing that it sends. */
  readonly address: string;
  /** Its code and its signal, once it has ended. */
  readonly exited: Promise<readonly unknown[]>;
}

export async function startProgram(program: URL, ...parameters: readonly string[]): Promise<Program> {
  const child = fork(program, parameters, { execArgv: [] });
  const exited = once(child, "exit");
  const [address] = (await once(child, "message")) as [string];
  return { child, address, exited };
}

/** Runs a program on some Node.js, to its own end, and takes the first thing that it sends. */
export async function runProgramOn<Report>(node: string, program: URL): Promise<Report> {
  const child = fork(program, { execPath: node, execArgv: ["--disable-warning=ExperimentalWarning"] });
  const exited = once(child, "exit");
  const [report] = await Promise.race([
    once(child, "message"),
    exited.then((end) => {
      throw new Error(`${program.pathname} ended without a report: ${end.join(", ")}`);
    }),
  ]);
  await exited;
  return report as Report;
}
