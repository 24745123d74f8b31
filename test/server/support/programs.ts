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
