/** A server of the Shop in a process of its own, which can be killed and frozen. Prints its address. */
import { startShop } from "./servers.ts";

const server = await startShop({ port: Number(process.argv[2] ?? 0) });
process.stdout.write(`${server.address}\n`);
