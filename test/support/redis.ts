/** A real Redis for tests, as a process that they can kill and restart; Debian's package `redis-server`. */
import { createConnection } from "node:net";
import { findFreePort } from "../registries/support/free-port.ts";
import { ServerProcess } from "../registries/support/server-process.ts";

/** @throws Error when there is no `redis-server`. */
export async function startRedis(): Promise<ServerProcess> {
  const port = await findFreePort();
  return ServerProcess.start(`127.0.0.1:${port}`, {
    name: "redis",
    binary: "redis-server",
    launch: (dataDir) => ({
      args: ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", dataDir],
    }),
    isReady: () => answersPing(port),
  });
}

function answersPing(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: "127.0.0.1" }, () => socket.write("PING\r\n"));
    const finish = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("data", (answer) => finish(answer.toString().startsWith("+PONG")));
    socket.once("error", () => finish(false));
  });
}
