/** Readiness of a real server that stops: it ends first, and everybody is served until the end. */
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { protect, register } from "../../src/server/index.ts";
import { MemoryRegistry } from "../../src/testing/memory-registry.ts";
import { until } from "../support/until.ts";
import { startProgram } from "./support/programs.ts";

const statusOf = async (url: string): Promise<number> => {
  const answer = await fetch(url, { headers: { connection: "close" } });
  await answer.text();
  return answer.status;
};

test("with a registration: not ready, out of the registry, served on, closed, in that order", async () => {
  const registry = new MemoryRegistry();
  const protection = protect();
  const held: (() => void)[] = [];
  const server = createServer(
    protection.listener((incoming, response) => {
      if (incoming.url === "/held") held.push(() => response.end("held"));
      else response.end("served");
    }),
  );
  const registration = register({ registry, service: "orders", server, protection, drainMs: 400 });
  server.listen(0, "127.0.0.1");
  await registration.ready();
  const address = registration.instances[0]?.address ?? "";
  expect(await statusOf(`${address}/readyz`)).toBe(200);
  const inFlight = fetch(`${address}/held`).then((answer) => answer.text());
  await until("a call is held", () => held.length === 1, 5_000);

  const order: string[] = [];
  protection.drainSignal.addEventListener("abort", () => {
    order.push(`not ready, ${registry.instances("orders").length} in the registry`);
  });
  server.once("close", () => order.push("closed"));
  const closed = registration.close();
  await until("it is out of the registry", () => registry.instances("orders").length === 0, 5_000);
  order.push("out");
  expect(await statusOf(`${address}/readyz`)).toBe(503);
  expect(await statusOf(`${address}/livez`)).toBe(200);
  expect(await statusOf(`${address}/work`)).toBe(200);
  await sleep(500);
  held[0]?.();
  expect(await inFlight).toBe("held");
  await closed;
  expect(order).toEqual(["not ready, 1 in the registry", "out", "closed"]);
});

test("by signal, without a registry: not ready at once, served on for a while, and then the process ends", async () => {
  const { child, address, exited } = await startProgram(new URL("programs/protected.ts", import.meta.url));
  expect(await statusOf(`${address}/readyz`)).toBe(200);
  child.kill("SIGTERM");
  let ready = 200;
  for (let asked = 0; ready === 200 && asked < 100; asked++) ready = await statusOf(`${address}/readyz`);
  expect(ready).toBe(503);
  expect(await statusOf(`${address}/livez`)).toBe(200);
  expect(await statusOf(`${address}/`)).toBe(200);
  expect(await exited).toEqual([0, null]);
});
