/** The thread of a `DeafPort`: listens where it is told to, and then stands still until it is woken to end. */
import { createServer } from "node:net";
import { parentPort, workerData } from "node:worker_threads";

const wake = workerData as Int32Array;

parentPort?.once("message", (place: { readonly host: string; readonly port: number }) => {
  const server = createServer((socket) => socket.destroy());
  server.listen({ ...place, backlog: 1 }, () => {
    parentPort?.postMessage("listening");
    // Nothing is accepted from here on.
    Atomics.wait(wake, 0, 0);
    process.exit(0);
  });
});
