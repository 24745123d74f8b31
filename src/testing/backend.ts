/** Starts and steers service processes for tests and the demo: kill, freeze, slow down, let fail, drain, restart. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type {
  BackendBehaviour,
  BackendMessage,
  BackendPlace,
  BackendReply,
  BackendStats,
} from "./backend/behaviour.ts";

export type {
  BackendBehaviour,
  BackendMessage,
  BackendPlace,
  BackendProtocol,
  BackendReply,
  BackendStats,
  BackendTls,
} from "./backend/behaviour.ts";

/** A running process. Everything that is not stopped ends with this process, by the loss of its IPC channel. */
export interface Backend extends AsyncDisposable {
  /** `http://127.0.0.1:port`; `https://` where the protocol has TLS. */
  readonly address: string;
  readonly port: number;
  readonly pid: number;
  /** Changes how it behaves; resolves when it does. */
  configure(behaviour: Partial<BackendBehaviour>): Promise<void>;
  stats(): Promise<BackendStats>;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /**
   * SIGTERM: no new connections; requests that have arrived are answered, with `Connection: close` or after a GOAWAY.
   * Resolves when the last connection is closed and the process gone, however long that takes.
   */
  terminate(): Promise<void>;
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

/**
 * @param place what it speaks and where; a number is its port.
 * @throws Error with the reason when it cannot listen there.
 */
export async function startBackend(
  behaviour: Partial<BackendBehaviour> = {},
  place: BackendPlace | number = {},
): Promise<Backend> {
  const child = fork(program, { stdio: ["ignore", "ignore", "inherit", "ipc"], execArgv: [] });
  // The tests' own process must be able to end, whatever becomes of this one.
  child.unref();
  child.channel?.unref();
  const wanted = typeof place === "number" ? { port: place } : place;
  const listening = nextReply(child, "listening");
  send(child, { kind: "listen", place: wanted, behaviour });
  const { port } = await listening;
  return createBackend(child, { ...wanted, port }, behaviour);
}

export function startBackends(
  count: number,
  behaviour: Partial<BackendBehaviour> = {},
  place: Omit<BackendPlace, "port"> = {},
): Promise<Backend[]> {
  return Promise.all(Array.from({ length: count }, () => startBackend(behaviour, place)));
}

function createBackend(
  child: ChildProcess,
  place: BackendPlace & { readonly port: number },
  initial: Partial<BackendBehaviour>,
): Backend {
  let behaviour = initial;
  const { port, protocol = "http1" } = place;
  const scheme = protocol === "http1" || protocol === "h2c" ? "http" : "https";
  const end = async (signal: "SIGKILL" | "SIGTERM") => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.ref();
    child.kill(signal);
    await gone;
  };
  return {
    address: `${scheme}://127.0.0.1:${port}`,
    port,
    pid: child.pid as number,
    async configure(change) {
      behaviour = { ...behaviour, ...change };
      const configured = nextReply(child, "configured");
      send(child, { kind: "configure", behaviour: change });
      await configured;
    },
    async stats() {
      const stats = nextReply(child, "stats");
      send(child, { kind: "stats" });
      return (await stats).stats;
    },
    kill: () => end("SIGKILL"),
    terminate: () => end("SIGTERM"),
    freeze() {
      child.kill("SIGSTOP");
    },
    thaw() {
      child.kill("SIGCONT");
    },
    restart: () => startBackend(behaviour, place),
    [Symbol.asyncDispose]: () => end("SIGKILL"),
  };
}

function send(child: ChildProcess, message: BackendMessage): void {
  child.send(message);
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
      else if (reply.kind === "failed") {
        settle(() => reject(new Error(`backend ${child.pid} cannot serve: ${reply.message}`)));
      }
    };
    const onExit = () => settle(() => reject(new Error(`backend ${child.pid} ended before it was ${kind}`)));
    child.on("message", onMessage);
    child.on("exit", onExit);
    child.channel?.ref();
  });
}
