/**
 * A service instance to balance over: an HTTP server with a limited number of workers, in a process of its own,
 * told how to behave over the IPC channel. Started by `startBackend`.
 */
import { appendFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { BackendBehaviour, BackendMessage, BackendReply, BackendStats } from "./backend.ts";

const behaviour: { -readonly [Key in keyof BackendBehaviour]: BackendBehaviour[Key] } = {
  workMs: 5,
  workers: 8,
  status: 200,
  body: "",
  bodyMs: 0,
  journal: "",
};
const stats: { -readonly [Key in keyof BackendStats]: BackendStats[Key] } = {
  requests: 0,
  inflight: 0,
  connections: 0,
  keys: {},
};
const queue: (() => void)[] = [];
let busy = 0;

/** Runs `work` when a worker is free, which then takes `workMs`. */
function whenWorkerFree(work: () => void): void {
  const run = () => {
    busy++;
    setTimeout(() => {
      busy--;
      work();
      queue.shift()?.();
    }, behaviour.workMs);
  };
  if (busy < behaviour.workers) run();
  else queue.push(run);
}

function answer(response: ServerResponse, bytesReceived: number): void {
  stats.inflight--;
  response.statusCode = behaviour.status;
  response.setHeader("content-type", "application/json");
  const body = behaviour.body || JSON.stringify({ pid: process.pid, bytesReceived });
  if (behaviour.bodyMs === 0) {
    response.end(body);
    return;
  }
  const half = Math.ceil(body.length / 2);
  response.write(body.slice(0, half));
  setTimeout(() => response.end(body.slice(half)), behaviour.bodyMs);
}

const server = createServer((request, response) => {
  stats.requests++;
  stats.inflight++;
  // Lets a test count how often one call arrived, whatever node it arrived at.
  const key = request.headers["x-test-key"];
  if (typeof key === "string") {
    stats.keys[key] = (stats.keys[key] ?? 0) + 1;
    if (behaviour.journal !== "") appendFileSync(behaviour.journal, `${key}\n`);
  }
  let bytesReceived = 0;
  request.on("data", (chunk: Buffer) => {
    bytesReceived += chunk.length;
  });
  request.on("end", () => {
    // A failing instance fails at once: that is what makes it a sinkhole.
    if (behaviour.status >= 500) answer(response, bytesReceived);
    else whenWorkerFree(() => answer(response, bytesReceived));
  });
});
server.on("connection", () => {
  stats.connections++;
});

function reply(message: BackendReply): void {
  // When the one who started it has gone, "disconnect" is what ends it, and not an error here.
  process.send?.(message, undefined, undefined, () => {});
}

process.on("message", (message: BackendMessage) => {
  if (message.kind === "configure") {
    Object.assign(behaviour, message.behaviour);
    reply({ kind: "configured" });
  } else {
    reply({ kind: "stats", stats });
  }
});
// Nobody is left to stop it.
process.on("disconnect", () => process.exit(0));
// It may have gone before this file was loaded.
if (!process.connected) process.exit(0);

server.keepAliveTimeout = 60_000;
server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", () => {
  reply({ kind: "listening", port: (server.address() as AddressInfo).port });
});
