/** A relay in front of a server that keeps what clients sent, to show what could have been read on the way. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** The first byte of a TLS handshake record (RFC 8446, 5.1). */
const handshakeRecord = 22;

export interface Wiretap extends AsyncDisposable {
  readonly port: number;
  /** What clients sent on each connection. */
  readonly heard: readonly Buffer[];
  /** Bytes of connections that did not begin as TLS does. */
  readonly plaintextBytes: number;
  /** Whether a text went over the wire as it is. */
  overheard(text: string): boolean;
}

export async function startWiretap(targetPort: number): Promise<Wiretap> {
  const chunks: Buffer[][] = [];
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): Socket => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    return socket;
  };
  const server = createServer((client) => {
    const heard: Buffer[] = [];
    chunks.push(heard);
    const target = keep(connect(targetPort, "127.0.0.1"));
    keep(client).on("data", (chunk: Buffer) => heard.push(chunk));
    client.pipe(target).pipe(client);
    client.on("close", () => target.destroy());
    target.on("close", () => client.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const heard = (): readonly Buffer[] => chunks.map((each) => Buffer.concat(each));
  return {
    port: (server.address() as AddressInfo).port,
    get heard() {
      return heard();
    },
    get plaintextBytes() {
      const plain = heard().filter((bytes) => bytes.length > 0 && bytes[0] !== handshakeRecord);
      return plain.reduce((sum, { length }) => sum + length, 0);
    },
    overheard: (text) => heard().some((bytes) => bytes.includes(text)),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
