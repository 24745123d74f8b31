/** Starts the nodes of leaving-program.ts, tells them when to begin to leave, and asks what they have counted. */
import { fork } from "node:child_process";
import { once } from "node:events";

export interface LeavingCounts {
  /** Of all connections together. */
  readonly goAways: number;
  /** Those that there have been. */
  readonly connections: number;
  /** Calls that were in flight at a GOAWAY: those that were answered, and those that were not taken. */
  readonly finishing: number;
  readonly refused: number;
  /** Different values of `x-key` that were answered, and those that were more than once. */
  readonly worked: number;
  readonly doubles: readonly string[];
}

export interface LeavingNodes extends AsyncDisposable {
  readonly addresses: readonly string[];
  /** From now on one of them leaves every so often, in turns. */
  leave(): void;
  counts(): Promise<LeavingCounts>;
}

export interface LeavingPlan {
  readonly nodes: number;
  /** How long a call takes. */
  readonly workMs: number;
  /** How often one of them leaves. */
  readonly everyMs?: number;
  /** How long a connection may be unused before it is ended. Default 0: for ever. */
  readonly idleMs?: number;
}

const program = new URL("./leaving-program.ts", import.meta.url);

export async function startLeavingNodes(plan: LeavingPlan): Promise<LeavingNodes> {
  const { nodes, workMs, everyMs = 0, idleMs = 0 } = plan;
  const child = fork(program, [nodes, workMs, everyMs, idleMs].map(String), { execArgv: [] });
  const ended = once(child, "exit");
  const [addresses] = (await once(child, "message")) as [readonly string[]];
  return {
    addresses,
    leave: () => void child.send("leave"),
    async counts() {
      const answered = once(child, "message") as Promise<[LeavingCounts]>;
      child.send("counts");
      return (await answered)[0];
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
