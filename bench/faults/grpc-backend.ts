/** Starts and steers gRPC service processes, as `startBackend` does for HTTP ones and with its messages. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { BackendMessage, BackendReply } from "../../src/testing/backend.ts";
import type { Instance } from "./instance.ts";

export interface GrpcBehaviour {
  /** How long a worker takes for one call. */
  readonly workMs: number;
  /** Calls worked on at once; further ones wait. */
  readonly workers: number;
  /** From 500 on a call ends at once as INTERNAL, with 503 as UNAVAILABLE. */
  readonly status: number;
}

export interface GrpcBackend extends Instance {
  /** SIGTERM: a GOAWAY on each connection; calls that have arrived are answered. Resolves when the process is gone. */
  terminate(): Promise<void>;
  restart(): Promise<GrpcBackend>;
}

const program = new URL("./grpc-server.ts", import.meta.url);

/** @param port 0 for one that is free. */
export async function startGrpcBackend(behaviour: Partial<GrpcBehaviour>, port = 0): Promise<GrpcBackend> {
  const child = fork(program, [String(port)], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
    execArgv: [],
  });
  const [{ port: bound }] = await nextReply(child, "listening");
  await configure(child, behaviour);
  let current = behaviour;
  const end = async (signal: "SIGKILL" | "SIGTERM"): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill(signal);
    await gone;
  };
  return {
    address: `127.0.0.1:${bound}`,
    pid: child.pid as number,
    async configure(change) {
      current = { ...current, ...change };
      await configure(child, change);
    },
    kill: () => end("SIGKILL"),
    terminate: () => end("SIGTERM"),
    freeze() {
      child.kill("SIGSTOP");
    },
    thaw() {
      child.kill("SIGCONT");
    },
    restart() {
      return startGrpcBackend(current, bound);
    },
  };
}

async function configure(child: ChildProcess, behaviour: Partial<GrpcBehaviour>): Promise<void> {
  const configured = nextReply(child, "configured");
  child.send({ kind: "configure", behaviour } satisfies BackendMessage);
  await configured;
}

/** @throws Error when the process ends first, or answers something else. */
async function nextReply<Kind extends BackendReply["kind"]>(
  child: ChildProcess,
  kind: Kind,
): Promise<[Extract<BackendReply, { kind: Kind }>]> {
  const abort = new AbortController();
  const ended = once(child, "exit", { signal: abort.signal }).then(() => {
    throw new Error(`gRPC backend ${child.pid} ended before it was ${kind}`);
  });
  const answered = once(child, "message", { signal: abort.signal }) as Promise<[BackendReply]>;
  try {
    const [reply] = await Promise.race([answered, ended]);
    if (reply.kind !== kind) throw new Error(`gRPC backend ${child.pid} answered ${reply.kind}, not ${kind}`);
    return [reply as Extract<BackendReply, { kind: Kind }>];
  } finally {
    abort.abort();
    // The one that lost the race is rejected by the abort.
    await Promise.allSettled([answered, ended]);
  }
}
