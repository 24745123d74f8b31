/** A real etcd for the demo, found where the tests' servers are or on the path, with its data in a temporary folder. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, mkdtempSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { homedir, tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { UsageError } from "../usage.ts";
import { isGone, killAtExit, removeAtExit } from "./exit-guard.ts";

/** A cold start takes a second or two. */
const readyLimitMs = 30_000;

/** Where the tests' servers are, then the path, then where Debian puts it. */
function etcdFolders(): readonly string[] {
  const { EVENKEEL_SERVERS = join(homedir(), ".cache/evenkeel/servers"), PATH = "" } = process.env;
  const path = PATH.split(delimiter).filter((folder) => folder !== "");
  return [join(EVENKEEL_SERVERS, "bin"), ...path, "/usr/bin"];
}

/** @throws UsageError that says where it was looked for. */
export function findEtcd(folders: readonly string[] = etcdFolders()): string {
  const found = folders.map((folder) => join(folder, "etcd")).find(isExecutable);
  if (found !== undefined) return found;
  throw new UsageError(
    `--registry etcd needs the program etcd, which is in none of ${[...new Set(folders)].join(", ")}; ` +
      "Debian has it as etcd-server, and the repository's scripts/servers builds it",
  );
}

export class EtcdServer {
  /** `127.0.0.1:port`. */
  readonly address: string;
  /** Every process that was started, the present one last. */
  readonly pids: number[] = [];
  readonly #binary: string;
  readonly #arguments: readonly string[];
  #child: ChildProcess | undefined;

  private constructor(binary: string, port: number, peerPort: number) {
    this.address = `127.0.0.1:${port}`;
    this.#binary = binary;
    const folder = mkdtempSync(join(tmpdir(), "evenkeel-demo-etcd-"));
    removeAtExit(folder);
    const [client, peer] = [`http://${this.address}`, `http://127.0.0.1:${peerPort}`];
    this.#arguments = [
      ...["--name", "demo", "--data-dir", join(folder, "data")],
      ...["--listen-client-urls", client, "--advertise-client-urls", client],
      ...[
        "--listen-peer-urls",
        peer,
        "--initial-advertise-peer-urls",
        peer,
        "--initial-cluster",
        `demo=${peer}`,
      ],
    ];
  }

  /** @throws Error when it does not serve in time. */
  static async start(binary: string): Promise<EtcdServer> {
    const server = new EtcdServer(binary, await findFreePort(), await findFreePort());
    await server.launch();
    return server;
  }

  /** Starts the process, again on the data and ports that it had, and waits until it serves. */
  async launch(): Promise<void> {
    const child = spawn(this.#binary, this.#arguments, { stdio: ["ignore", "ignore", "pipe"] });
    this.#child = child;
    let said = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-1_000);
    });
    let failure: string | undefined;
    child.once("error", (error) => {
      failure = error.message;
    });
    child.once("exit", (code, signal) => {
      failure ??= `it ended with ${signal ?? code}`;
    });
    if (child.pid !== undefined) {
      killAtExit(child.pid);
      this.pids.push(child.pid);
    }
    for (const startedAt = performance.now(); ; await sleep(50)) {
      const response = await fetch(`http://${this.address}/health`).catch(() => undefined);
      if (response?.ok === true) return;
      if (performance.now() - startedAt > readyLimitMs) failure ??= `not within ${readyLimitMs} ms`;
      if (failure !== undefined) throw new Error(`${this.#binary} does not serve: ${failure}\n${said}`);
    }
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
    isGone(child.pid);
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
