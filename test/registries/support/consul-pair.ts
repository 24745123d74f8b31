/** Two Consul servers that need each other for a majority: without one of them, the other knows no leader. */
import { findServer } from "./find-server.ts";
import { findFreePort } from "./free-port.ts";
import { type RegistryServer, ServerProcess } from "./server-process.ts";

export interface ConsulPair extends AsyncDisposable {
  /** Their HTTP APIs. */
  readonly urls: readonly [string, string];
  readonly servers: readonly [RegistryServer, RegistryServer];
}

interface Ports {
  readonly http: number;
  readonly server: number;
  readonly gossip: number;
}

export async function startConsulPair(): Promise<ConsulPair> {
  const binary = findServer("consul");
  if (binary === undefined) throw new Error("there is no Consul: run scripts/servers");
  const [first, second] = [await choosePorts(), await choosePorts()];
  await using stack = new AsyncDisposableStack();
  // Neither is ready before the other one is there.
  const starting = [start("one", binary, first, second), start("two", binary, second, first)] as const;
  for (const each of starting) stack.defer(async () => (await each)[Symbol.asyncDispose]());
  const servers = await Promise.all(starting);
  const started = stack.move();
  return {
    urls: [urlOf(first), urlOf(second)],
    servers,
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}

async function choosePorts(): Promise<Ports> {
  return { http: await findFreePort(), server: await findFreePort(), gossip: await findFreePort() };
}

function urlOf({ http }: Ports): string {
  return `http://127.0.0.1:${http}`;
}

function start(name: string, binary: string, own: Ports, other: Ports): Promise<RegistryServer> {
  return ServerProcess.start(`127.0.0.1:${own.http}`, {
    name: "consul",
    binary,
    launch: (dataDir) => ({
      args: [
        "agent",
        "-server",
        "-bootstrap-expect=2",
        `-node=${name}`,
        `-data-dir=${dataDir}`,
        "-bind=127.0.0.1",
        "-client=127.0.0.1",
        `-http-port=${own.http}`,
        `-server-port=${own.server}`,
        `-serf-lan-port=${own.gossip}`,
        `-retry-join=127.0.0.1:${other.gossip}`,
        "-retry-interval=1s",
        "-serf-wan-port=-1",
        "-dns-port=-1",
        "-grpc-port=-1",
        "-grpc-tls-port=-1",
        "-log-level=warn",
        "-hcl",
        "performance { raft_multiplier = 1 }",
      ],
    }),
    isReady: async () => {
      const response = await fetch(`${urlOf(own)}/v1/health/node/${name}`);
      return ((await response.json()) as readonly unknown[]).length > 0;
    },
  });
}
