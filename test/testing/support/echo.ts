/** A TCP service that notes what becomes of its connections, and a client that notes what comes. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface EchoService extends AsyncDisposable {
  readonly address: string;
  /** In the order in which they were accepted. */
  readonly sockets: readonly Socket[];
  /** What happened, with the connection's number: "0 end", "1 ECONNRESET", "0 close". */
  readonly events: readonly string[];
}

/** Sends back what it gets, and its end after the client's. */
export async function startEcho(): Promise<EchoService> {
  const sockets: Socket[] = [];
  const events: string[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const number = sockets.push(socket) - 1;
    socket.on("data", (bytes) => socket.write(bytes));
    socket.on("end", () => {
      events.push(`${number} end`);
      socket.end();
    });
    socket.on("error", (error: NodeJS.ErrnoException) => events.push(`${number} ${error.code}`));
    socket.on("close", () => events.push(`${number} close`));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sockets,
    events,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A connection that keeps everything that comes. */
export class TestClient implements Disposable {
  readonly socket: Socket;
  readonly chunks: Buffer[] = [];
  /** "connect", "end", an error's code, "close", in order. */
  readonly events: string[] = [];

  constructor(port: number) {
    this.socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
    this.socket.on("connect", () => this.events.push("connect"));
    this.socket.on("data", (chunk: Buffer) => this.chunks.push(chunk));
    this.socket.on("end", () => this.events.push("end"));
    this.socket.on("error", (error: NodeJS.ErrnoException) => this.events.push(String(error.code)));
    this.socket.on("close", () => this.events.push("close"));
  }

  send(text: string): void {
    this.socket.write(text);
  }

  get received(): string {
    return Buffer.concat(this.chunks).toString();
  }

  saw(event: string): boolean {
    return this.events.includes(event);
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}
