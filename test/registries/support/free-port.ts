/**
 * Ports of 127.0.0.1 that nobody listens on, for servers that have to come back on the port they had.
 *
 * They lie below those that the system hands out (from 32,768 on), so that while a server is dead no connection of
 * somebody else takes its port as its own end.
 */
import { once } from "node:events";
import { createServer } from "node:net";

const lowest = 15_000;
const highest = 30_000;
const taken: Set<number> = new Set();

/** A port that is free and so are those that lie `further` above it; none is handed out twice. */
export async function findFreePort(...further: readonly number[]): Promise<number> {
  for (let tries = 0; tries < 200; tries++) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest));
    const wanted = [port, ...further.map((offset) => port + offset)];
    if (wanted.some((each) => taken.has(each))) continue;
    const free = await Promise.all(wanted.map(isFree));
    if (!free.every(Boolean)) continue;
    for (const each of wanted) taken.add(each);
    return port;
  }
  throw new Error(`no free port on 127.0.0.1 from ${lowest} to ${highest}`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
  } catch {
    return false;
  }
  server.close();
  await once(server, "close");
  return true;
}
