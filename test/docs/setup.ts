/**
 * What a documentation program finds around it: servers at the addresses that the text names.
 *
 * A setup is a module `preludes/<name>.ts` that exports `start`. The servers run in the test's process and the
 * program in its own, as in real life, so a program that does not end by itself is not held up by its servers.
 */
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";

export interface Setup extends AsyncDisposable {
  /** From each address in the text, such as `10.0.0.1:8080`, to the real one that stands in for it. */
  readonly addresses: Readonly<Record<string, string>>;
}

export interface SetupModule {
  /** `folder` is where the program is going to run, for files that it reads. */
  start(folder: string): Promise<Setup>;
}

export async function startSetup(name: string, folder: string): Promise<Setup> {
  const module = (await import(`./preludes/${name}.ts`)) as SetupModule;
  return await module.start(folder);
}

/** One HTTP server for each address. It answers any call with 200 and says who it is and what it was asked for. */
export async function startServers(addresses: readonly string[]): Promise<Setup> {
  const servers = await Promise.all(
    addresses.map(async (address) => {
      const server = createServer(answerAs(address));
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
      await promise;
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  return {
    addresses: Object.fromEntries(addresses.map((address, i) => [address, `127.0.0.1:${ports[i]}`])),
    async [Symbol.asyncDispose]() {
      for (const server of servers) {
        server.close();
        server.closeAllConnections();
      }
    },
  };
}

function answerAs(address: string): RequestListener {
  return (request, response) => {
    request.resume();
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ server: address, method: request.method, path: request.url }));
  };
}
