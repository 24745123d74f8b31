/** The servers that the call bench talks to: five ports in one process of their own, answering at once. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const answer = Buffer.from(JSON.stringify({ id: 42, state: "shipped", items: [1, 2, 3] }));

const ports = await Promise.all(
  Array.from({ length: 5 }, async () => {
    const server = createServer((_request, response) => {
      response.setHeader("content-type", "application/json");
      response.setHeader("content-length", answer.length);
      response.end(answer);
    });
    server.keepAliveTimeout = 600_000;
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return (server.address() as AddressInfo).port;
  }),
);
process.on("disconnect", () => process.exit(0));
process.send?.(ports);
