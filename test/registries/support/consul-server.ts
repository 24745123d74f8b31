/** Starts a Consul agent that is a whole server by itself, with or without access control. */
import { findServer } from "./find-server.ts";
import { findFreePort } from "./free-port.ts";
import { type RegistryServer, ServerProcess } from "./server-process.ts";

export interface ConsulOptions {
  /** Default: what `scripts/servers` builds. */
  readonly binary?: string;
  /** Switches access control on: nothing is allowed but with a token, this one being allowed everything. */
  readonly managementToken?: string;
}

export interface ConsulServer extends RegistryServer {
  /** `http://127.0.0.1:port`. */
  readonly url: string;
  /**
   * Calls its HTTP API with the management token: `consul.call("PUT", "/v1/agent/service/register", {...})`.
   * Resolves with the text of the answer.
   */
  call(method: string, path: string, body?: unknown): Promise<string>;
}

export async function startConsul({
  binary = findServer("consul"),
  managementToken,
}: ConsulOptions = {}): Promise<ConsulServer> {
  if (binary === undefined) throw new Error("there is no Consul: run scripts/servers");
  const httpPort = await findFreePort();
  const serverPort = await findFreePort();
  const gossipPort = await findFreePort();
  const url = `http://127.0.0.1:${httpPort}`;
  const call = async (method: string, path: string, body?: unknown): Promise<string> => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: managementToken === undefined ? {} : { "x-consul-token": managementToken },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`Consul answered ${method} ${path} with ${response.status}: ${text}`);
    return text;
  };
  // With the least of waiting in Raft: the default suits virtual machines of the smallest kind.
  const settings = ["performance { raft_multiplier = 1 }"];
  if (managementToken !== undefined) {
    settings.push(
      `acl { enabled = true, default_policy = "deny", tokens { initial_management = "${managementToken}" ` +
        `agent = "${managementToken}" } }`,
    );
  }
  const server = await ServerProcess.start(`127.0.0.1:${httpPort}`, {
    name: "consul",
    binary,
    launch: (dataDir) => ({
      args: [
        "agent",
        "-server",
        "-bootstrap-expect=1",
        "-node=one",
        `-data-dir=${dataDir}`,
        "-bind=127.0.0.1",
        "-client=127.0.0.1",
        `-http-port=${httpPort}`,
        `-server-port=${serverPort}`,
        `-serf-lan-port=${gossipPort}`,
        "-serf-wan-port=-1",
        "-dns-port=-1",
        "-grpc-port=-1",
        "-grpc-tls-port=-1",
        "-log-level=warn",
        ...settings.flatMap((text) => ["-hcl", text]),
      ],
    }),
    // There is a leader, and it knows its own node: services of that node can be registered and seen.
    isReady: async () => JSON.parse(await call("GET", "/v1/health/node/one")).length > 0,
  });
  return Object.assign(server, { url, call });
}
