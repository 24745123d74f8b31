/** Starts and steers service processes for tests and the demo: kill, freeze, slow down, let fail, restart. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";

export interface BackendBehaviour {
  /** How long a worker takes for one request. */
  readonly workMs: number;
  /** Requests worked on at once; further ones wait. */
  readonly workers: number;
  /** From 500 on it is sent at once, without work. */
  readonly status: number;
  /** Sent as it is; empty for a line of JSON that names the process. */
  readonly body: string;
  /** How long after the first half of the body its second half is sent; 0 for the whole body at once. */
  readonly bodyMs: number;
  /** File to which each x-test-key is appended as it arrives, for what a killed process saw; empty for none. */
  readonly journal: string;
}

export interface BackendStats {
  /** Requests that arrived, since the process started. */
  readonly requests: number;
  readonly inflight: number;
  /** Connections accepted, since the process started. */
  readonly connections: number;
  /** How often each value of the header x-test-key arrived. */
  readonly keys: Record<string, number>;
}

export type BackendMessage =
  | { readonly kind: "configure"; readonly behaviour: Partial<BackendBehaviour> }
  | { readonly kind: "stats" };

export type BackendReply =
  | { readonly kind: "listening"; readonly port: number }
  | { readonly kind: "configured" }
  | { readonly kind: "stats"; readonly stats: BackendStats };

/** A running process. Everything that is not stopped ends with this process, by the loss of its IPC channel. */
export interface Backend {
  /** `http://127.0.0.1:port`. */
  readonly address: string;
  readonly pid: number;
  /** Changes how it behaves; resolves when it does. */
  configure(behaviour: Partial<BackendBehaviour>): Promise<void>;
  stats(): Promise<BackendStats>;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /** SIGSTOP: connections stay open, nothing is answered. */
  freeze(): void;
  /** SIGCONT. */
  thaw(): void;
  /** A new process on the same port, with the behaviour of the old one; that one must be gone. */
  restart(): Promise<Backend>;
}

/** The same file beside this one, as it was run: TypeScript in the repository, JavaScript in the package. */
const program = new URL(
  `./backend-process${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`,
  import.meta.url,
);

/** @param port 0 for one that is free. */
export async function startBackend(behaviour: Partial<BackendBehaviour> = {}, port = 0): Promise<Backend> {
  const child = fork(program, [String(port)], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
    execArgv: [],
  });
  // The tests' own process must be able to end, whatever becomes of this one.
  child.unref();
  child.channel?.unref();
  const listening = await nextReply(child, "listening");
  const backend = createBackend(child, listening.port, behaviour);
  await backend.configure(behaviour);
  return backend;
}

export function startBackends(count: number, behaviour: Partial<BackendBehaviour> = {}): Promise<Backend[]> {
  return Promise.all(Array.from({ length: count }, () => startBackend(behaviour)));
}

function createBackend(child: ChildProcess, port: number, initial: Partial<BackendBehaviour>): Backend {
  let behaviour = initial;
  return {
    address: `http://127.0.0.1:${port}`,
    pid: child.pid as number,
    async configure(change) {
      behaviour = { ...behaviour, ...change };
      const configured = nextReply(child, "configured");
      child.send({ kind: "configure", behaviour: change } satisfies BackendMessage);
      await configured;
    },
    async stats() {
      const stats = nextReply(child, "stats");
      child.send({ kind: "stats" } satisfies BackendMessage);
      return (await stats).stats;
    },
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.ref();
      child.kill("SIGKILL");
      await gone;
    },
    freeze() {
      child.kill("SIGSTOP");
    },
    thaw() {
      child.kill("SIGCONT");
    },
    restart() {
      return startBackend(behaviour, port);
    },
  };
}

/** @throws Error when the process ends first. */
async function nextReply<Kind extends BackendReply["kind"]>(
  child: ChildProcess,
  kind: Kind,
): Promise<Extract<BackendReply, { kind: Kind }>> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void) => {
      child.off("message", onMessage);
      child.off("exit", onExit);
      // While a reply is awaited the channel keeps this process alive, else it does not.
      child.channel?.unref();
      finish();
    };
    const onMessage = (message: unknown) => {
      const reply = message as BackendReply;
      if (reply.kind === kind) settle(() => resolve(reply as Extract<BackendReply, { kind: Kind }>));
    };
    const onExit = () => settle(() => reject(new Error(`backend ${child.pid} ended before it was ${kind}`)));
    child.on("message", onMessage);
    child.on("exit", onExit);
    child.channel?.ref();
  });
}
