/** A gRPC service instance in a process of its own, with a limited number of workers; the twin of backend-process.ts. */
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";
import type { BackendMessage, BackendReply } from "../../src/testing/backend.ts";
import type { GrpcBehaviour } from "./grpc-backend.ts";
import { getOrder } from "./grpc-method.ts";

const behaviour: { -readonly [Key in keyof GrpcBehaviour]: GrpcBehaviour[Key] } = {
  workMs: 5,
  workers: 8,
  status: 200,
};
const queue: (() => void)[] = [];
const body: Buffer = Buffer.from(JSON.stringify({ pid: process.pid, bytesReceived: 0 }));
let busy = 0;
const server: Server = new Server();

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

function handle(_call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void {
  // A failing instance fails at once: that is what makes it a sinkhole.
  const code = behaviour.status === 503 ? status.UNAVAILABLE : status.INTERNAL;
  if (behaviour.status >= 500) answer({ code, details: "told to fail" });
  else whenWorkerFree(() => answer(null, body));
}

function reply(message: BackendReply): void {
  process.send?.(message);
}

process.on("message", (message: BackendMessage) => {
  if (message.kind !== "configure") return;
  Object.assign(behaviour, message.behaviour);
  reply({ kind: "configured" });
});
process.on("SIGTERM", () => server.tryShutdown(() => process.exit(0)));
// Nobody is left to stop it.
process.on("disconnect", () => process.exit(0));
// It may have gone before this file was loaded.
if (!process.connected) process.exit(0);

server.addService({ getOrder }, { getOrder: handle });
server.bindAsync(
  `127.0.0.1:${Number(process.argv[2] ?? 0)}`,
  ServerCredentials.createInsecure(),
  (error, port) => {
    if (error !== null) throw error;
    reply({ kind: "listening", port });
  },
);
