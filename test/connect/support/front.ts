/** A listener in front of a server, which can stop listening while its connections go on, as no server's own does. */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface Front extends AsyncDisposable {
  readonly address: string;
  /** Connections that came in. */
  readonly connections: number;
  /** From here on connections are refused; those that stand go on. */
  stopListening(): Promise<void>;
}

/** @param target undefined for one that accepts connections and never says a word. */
export async function startFront(target?: string): Promise<Front> {
  const sockets = new Set<Socket>();
  const track = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
  };
  let connections = 0;
  const listener = createServer((front) => {
    connections++;
    track(front);
    if (target === undefined) return;
    const back = connect(Number(new URL(target).port), "127.0.0.1");
    track(back);
    front.pipe(back).pipe(front);
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const scheme = target === undefined ? "http" : new URL(target).protocol.slice(0, -1);
  return {
    address: `${scheme}://127.0.0.1:${(listener.address() as AddressInfo).port}`,
    get connections() {
      return connections;
    },
    stopListening: async () => {
      listener.close();
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      listener.close();
    },
  };
}
