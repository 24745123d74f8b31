/** One process of a layer of the chain, told over the IPC channel what it is. Started by `startLayer`. */
import type { AddressInfo } from "node:net";
import { LayerServer } from "./layer-server.ts";
import type { LayerMessage, LayerPlan, LayerReply } from "./messages.ts";

let layer: LayerServer | undefined;

function reply(message: LayerReply): void {
  // When the one who started it has gone, "disconnect" is what ends it, and not an error here.
  process.send?.(message, undefined, undefined, () => {});
}

/** It is of no use, and whoever started it is to know why. */
function fail(error: unknown): void {
  process.send?.({ kind: "failed", message: String(error) } satisfies LayerReply, () => process.exit(1));
}

function start(plan: LayerPlan): void {
  layer = new LayerServer(plan);
  const { server } = layer;
  server.once("error", fail);
  server.listen(0, "127.0.0.1", () => {
    reply({ kind: "listening", port: (server.address() as AddressInfo).port });
  });
}

process.on("message", (message: LayerMessage) => {
  if (message.kind === "start") {
    try {
      start(message.plan);
    } catch (error) {
      fail(error);
    }
  } else if (message.kind === "configure") {
    layer?.configure(message.behaviour);
    reply({ kind: "configured" });
  } else if (layer !== undefined) {
    reply({ kind: "stats", id: message.id, stats: layer.stats });
  }
});
// Nobody is left to stop it.
process.on("disconnect", () => process.exit(0));
// It may have gone before this file was loaded.
if (!process.connected) process.exit(0);
