/**
 * The first calls of a new process, made before it is announced and counted nowhere.
 *
 * Ten processes that all run their code for the first time in the same half second, on a few cores, answer that half
 * second slowly. That would be most of what the first phase shows, and it has nothing to do with balancing.
 */
import { Agent, request } from "undici";

/** Enough for Node.js to have compiled what serves a call. */
const callsEach = 50;

export async function warmUp(addresses: readonly string[]): Promise<void> {
  const dispatcher = new Agent();
  try {
    await Promise.all(addresses.map((address) => callInTurn(address, dispatcher)));
  } finally {
    await dispatcher.destroy();
  }
}

async function callInTurn(address: string, dispatcher: Agent): Promise<void> {
  for (let call = 0; call < callsEach; call++) {
    const { body } = await request(address, { dispatcher });
    await body.dump();
  }
}
