/**
 * What a gRPC channel to 1,000 idle nodes holds in memory, ours beside grpc-js' round_robin: each in a process of its own,
 * over the same servers in a third.
 *
 * Run alone: `npx node bench/grpc-memory.ts`.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, type ClientOptions, credentials } from "@grpc/grpc-js";
import { grpcBalancer } from "../src/grpc/index.ts";
import { exposeCollector } from "./measure.ts";

const nodes = 1_000;
const systems = ["grpc-js round_robin", "Evenkeel's grpcBalancer"] as const;

interface Use {
  readonly heapBytes: number;
  readonly rssBytes: number;
  readonly connections: number;
}

/** 1,000 ports that speak HTTP/2, and count their connections. */
async function serve(): Promise<void> {
  let connections = 0;
  const ports = await Promise.all(
    Array.from({ length: nodes }, async () => {
      const server = createServer();
      server.on("session", () => connections++);
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      return (server.address() as AddressInfo).port;
    }),
  );
  process.on("message", () => {
    process.send?.(connections);
    connections = 0;
  });
  process.send?.(ports);
}

/** Connects to all of them and tells what that takes, when told that it stands. */
async function hold(system: string, ports: readonly string[]): Promise<void> {
  const collect = exposeCollector();
  const addresses = ports.map((port) => `127.0.0.1:${port}`);
  const measure = (): { heap: number; rss: number } => {
    collect();
    const { heapUsed, rss } = process.memoryUsage();
    return { heap: heapUsed, rss };
  };
  await sleep(200);
  const before = measure();
  const client = open(system, addresses);
  client.waitForReady(Date.now() + 30_000, () => {});
  process.once("message", () => {
    const after = measure();
    process.send?.({ heapBytes: after.heap - before.heap, rssBytes: after.rss - before.rss });
  });
}

function open(system: string, addresses: readonly string[]): Client {
  if (system === systems[0]) {
    const options: ClientOptions = {
      "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
    };
    return new Client(`ipv4:${addresses.join(",")}`, credentials.createInsecure(), options);
  }
  const balancer = grpcBalancer({ name: "orders", discovery: addresses });
  return new Client(balancer.target, credentials.createInsecure(), balancer.channelOptions);
}

export async function benchGrpcMemory(): Promise<string> {
  const program = new URL(import.meta.url);
  const servers = fork(program, ["servers"], { execArgv: [] });
  const [ports] = (await once(servers, "message")) as [readonly number[]];
  const rows: string[] = [];
  for (const system of systems) {
    const child = fork(program, [system, ...ports.map(String)], { execArgv: [] });
    await sleep(5_000);
    servers.send("count");
    const [connections] = (await once(servers, "message")) as [number];
    child.send("measure");
    const [{ heapBytes, rssBytes }] = (await once(child, "message")) as [Use];
    child.kill();
    await once(child, "exit");
    rows.push(
      `| ${system} | ${connections} | ${(heapBytes / nodes / 1_024).toFixed(1)} | ${(rssBytes / nodes / 1_024).toFixed(1)} |`,
    );
  }
  servers.kill();
  return [
    "## Memory of 1,000 idle gRPC nodes",
    "",
    "One channel, connected to all of them, no call made.",
    "",
    "| system | connections | heap KiB per node | resident KiB per node |",
    "|---|---|---|---|",
    ...rows,
  ].join("\n");
}

const [role, ...ports] = process.argv.slice(2);
if (import.meta.main && role === undefined) console.log(await benchGrpcMemory());
else if (import.meta.main && role === "servers") await serve();
else if (import.meta.main && role !== undefined) await hold(role, ports);
