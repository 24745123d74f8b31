/** The interop server of grpc-go in a process of its own; see `test/grpc/interop/grpc-server`. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { findServer } from "../../registries/support/find-server.ts";

export interface GoServer extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  readonly pid: number;
  /** `SERVING`, `NOT_SERVING` or `GOAWAY`. */
  tell(line: string): void;
  kill(signal?: NodeJS.Signals): Promise<void>;
}

export async function startGoServer(...parameters: readonly string[]): Promise<GoServer> {
  const binary = findServer("grpc-server");
  if (binary === undefined) throw new Error("there is no grpc-server: run scripts/servers");
  const child: ChildProcessByStdio<Writable, Readable, null> = spawn(binary, parameters, {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [line] = (await once(createInterface(child.stdout), "line")) as [string];
  const { port } = JSON.parse(line) as { readonly port: number };
  const kill = async (signal: NodeJS.Signals = "SIGKILL"): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  };
  return {
    address: `127.0.0.1:${port}`,
    port,
    pid: child.pid as number,
    tell: (text) => void child.stdin.write(`${text}\n`),
    kill,
    [Symbol.asyncDispose]: () => kill(),
  };
}
