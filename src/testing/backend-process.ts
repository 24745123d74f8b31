/**
 * A service instance to balance over: an HTTP server with a limited number of workers, in a process of its own,
 * told how to behave over the IPC channel. Started by `startBackend`.
 */
import type { AddressInfo } from "node:net";
import type { BackendBehaviour, BackendMessage, BackendPlace, BackendReply } from "./backend/behaviour.ts";
import { type BackendServer, createBackendServer } from "./backend/server.ts";
import { Work } from "./backend/work.ts";

const work = new Work();
let running: BackendServer | undefined;

function reply(message: BackendReply): void {
  // When the one who started it has gone, "disconnect" is what ends it, and not an error here.
  process.send?.(message, undefined, undefined, () => {});
}

function listen(place: BackendPlace): void {
  running = createBackendServer(work, place);
  const { server } = running;
  running.configure(work.behaviour);
  server.once("error", fail);
  server.listen(place.port ?? 0, "127.0.0.1", () => {
    reply({ kind: "listening", port: (server.address() as AddressInfo).port });
  });
}

function configure(behaviour: Partial<BackendBehaviour>): void {
  Object.assign(work.behaviour, behaviour);
  running?.configure(work.behaviour);
}

/** It is of no use, and whoever started it is to know why. */
function fail(error: unknown): void {
  process.send?.({ kind: "failed", message: String(error) } satisfies BackendReply, () => process.exit(1));
}

process.on("message", (message: BackendMessage) => {
  if (message.kind === "stats") {
    reply({ kind: "stats", stats: work.stats });
    return;
  }
  configure(message.behaviour);
  if (message.kind === "configure") {
    reply({ kind: "configured" });
    return;
  }
  try {
    listen(message.place);
  } catch (error) {
    fail(error);
  }
});
process.on("SIGTERM", () => {
  void running?.drain().then(() => process.exit(0));
});
// Nobody is left to stop it.
process.on("disconnect", () => process.exit(0));
// It may have gone before this file was loaded.
if (!process.connected) process.exit(0);
