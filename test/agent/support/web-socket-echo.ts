/** The server's side of a WebSocket that sends short text messages back in upper case (RFC 6455). */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

const opcode = { text: 1, close: 8 } as const;

/** Listener for a server's "upgrade". Takes messages of up to 125 bytes, each in one frame. */
export function echoWebSocket(request: IncomingMessage, socket: Duplex): void {
  const key = `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const accept = createHash("sha1").update(key).digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
  );
  socket.on("error", () => {});
  let pending = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    // First byte: final frame and its opcode; second: masked, and its length; then four bytes of mask.
    for (let end = frameEnd(pending); pending.length >= end; end = frameEnd(pending)) {
      const mask = pending.subarray(2, 6);
      const payload = Buffer.from(
        pending.subarray(6, end).map((byte, index) => byte ^ (mask[index % 4] as number)),
      );
      const kind = (pending[0] as number) & 15;
      pending = pending.subarray(end);
      if (kind === opcode.close) socket.end(frame(opcode.close, payload));
      else socket.write(frame(opcode.text, Buffer.from(String(payload).toUpperCase())));
    }
  });
}

function frameEnd(data: Buffer): number {
  return data.length < 2 ? Number.POSITIVE_INFINITY : 6 + ((data[1] as number) & 127);
}

function frame(kind: number, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from([128 | kind, payload.length]), payload]);
}
