/** A listener that never accepts: a stopped process whose backlog is full, so that connecting to it hangs. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const program = `
  require("node:net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, function () {
    process.stdout.write(String(this.address().port));
  });
`;

export interface StuckListener extends AsyncDisposable {
  readonly address: string;
}

export async function startStuckListener(): Promise<StuckListener> {
  const child: ChildProcess = spawn(process.execPath, ["-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [output] = (await once(child.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
  const port = Number(String(output));
  child.kill("SIGSTOP");
  const fillers: Socket[] = [];
  // Linux takes one more than the backlog; the first that does not connect shows that it is full.
  for (let connected = true; connected && fillers.length < 20; ) {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.on("error", () => {});
    fillers.push(socket);
    connected = await Promise.race([once(socket, "connect").then(() => true), sleep(100).then(() => false)]);
  }
  return {
    address: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      for (const filler of fillers) filler.destroy();
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}
