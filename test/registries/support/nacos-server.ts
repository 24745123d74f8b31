/** Starts r-nacos, a Nacos server: gRPC push as Nacos 2, and its HTTP API of versions 1 and 2. */
import { once } from "node:events";
import { connect } from "node:net";
import { findServer } from "./find-server.ts";
import { findFreePort } from "./free-port.ts";
import { type RegistryServer, ServerProcess } from "./server-process.ts";

export interface NacosOptions {
  /** Default: what `scripts/servers` builds. */
  readonly binary?: string;
  /** Switches access control on, with this user as administrator. */
  readonly auth?: {
    readonly username: string;
    readonly password: string;
    /** How long a token lives. Default 3,600. */
    readonly tokenTtlSeconds?: number;
  };
}

export interface NacosServer extends RegistryServer {
  /** `http://127.0.0.1:port`; gRPC is on the port 1,000 above. */
  readonly url: string;
  /** Calls its HTTP API as the administrator: `nacos.call("POST", "/nacos/v1/ns/instance", {...})`. */
  call(method: string, path: string, parameters: Readonly<Record<string, string>>): Promise<string>;
}

export async function startNacos({
  binary = findServer("rnacos"),
  auth,
}: NacosOptions = {}): Promise<NacosServer> {
  if (binary === undefined) throw new Error("there is no r-nacos: run scripts/servers");
  const port = await findFreePort(1_000);
  const url = `http://127.0.0.1:${port}`;
  const request = async (method: string, path: string, parameters: Readonly<Record<string, string>>) => {
    const response = await fetch(`${url}${path}?${new URLSearchParams(parameters)}`, { method });
    const text = await response.text();
    if (!response.ok) throw new Error(`Nacos answered ${method} ${path} with ${response.status}: ${text}`);
    return text;
  };
  const login = async (): Promise<Readonly<Record<string, string>>> => {
    if (auth === undefined) return {};
    const { username, password } = auth;
    const answer = await request("POST", "/nacos/v1/auth/users/login", { username, password });
    return { accessToken: (JSON.parse(answer) as { accessToken: string }).accessToken };
  };
  const server = await ServerProcess.start(`127.0.0.1:${port}`, {
    name: "nacos",
    binary,
    launch: (dataDir) => ({
      args: [],
      environment: {
        RNACOS_SDK_HOST: "127.0.0.1",
        RNACOS_HTTP_PORT: String(port),
        RNACOS_GRPC_PORT: String(port + 1_000),
        RNACOS_HTTP_CONSOLE_PORT: "0",
        RNACOS_DATA_DIR: dataDir,
        // One thread serves tests; by default each server has as many as there are cores.
        RNACOS_HTTP_WORKERS: "1",
        // What was put over HTTP needs a heartbeat every few seconds otherwise.
        RNACOS_NAMING_HEALTH_TIMEOUT_SECOND: "3600",
        RNACOS_NAMING_INSTANCE_TIMEOUT_SECOND: "7200",
        RUST_LOG: "warn",
        ...(auth === undefined
          ? {}
          : {
              RNACOS_ENABLE_OPEN_API_AUTH: "true",
              RNACOS_INIT_ADMIN_USERNAME: auth.username,
              RNACOS_INIT_ADMIN_PASSWORD: auth.password,
              // By default five failures, as before the first user is made, shut everybody out for a minute.
              RNACOS_API_LOGIN_ONE_MINUTE_LIMIT: "1000000",
              RNACOS_API_LOGIN_TIMEOUT: String(auth.tokenTtlSeconds ?? 3_600),
            }),
      },
    }),
    // r-nacos 0.8 races with itself on a busy machine: its only node does not find that it leads, and never will; or
    // a login that comes before its store is there leaves it running and dumb. Else it serves within a second.
    isBroken: (log, runsMs) => log.includes("panicked at") || runsMs > 3_000,
    async isReady() {
      await request("GET", "/health", {});
      await login();
      return isListening(port + 1_000);
    },
  });
  let token: Readonly<Record<string, string>> | undefined;
  return Object.assign(server, {
    url,
    async call(method: string, path: string, parameters: Readonly<Record<string, string>>) {
      if (token !== undefined) {
        try {
          return await request(method, path, { ...parameters, ...token });
        } catch {
          // The token may have expired, or be that of a process that was killed.
        }
      }
      token = await login();
      return request(method, path, { ...parameters, ...token });
    },
  });
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } finally {
    socket.destroy();
  }
}
