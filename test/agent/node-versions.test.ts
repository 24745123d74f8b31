/** The agent under the fetch and the WebSocket of undici and of Node itself, on each Node.js that is supported. */
import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TestServer } from "../http/support/server.ts";
import { nodeOfVersion, nodeVersions } from "./support/node-versions.ts";
import { runProgram } from "./support/run-program.ts";
import { type Site, startWebServer } from "./support/web-server.ts";

const site: Site = { outside: "", release: () => {} };
const servers: TestServer[] = [];
let places: { orders: string[]; users: string[]; outside: string };

beforeAll(async () => {
  for (const name of ["orders", "orders", "users", "outside"]) servers.push(await startWebServer(name, site));
  const [first, second, users, outside] = servers.map(({ address }) => address) as [
    string,
    string,
    string,
    string,
  ];
  places = { orders: [first, second], users: [users], outside };
  site.outside = outside;
});
afterAll(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
});

describe.each(Object.values(nodeVersions))("Node %s", (version) => {
  let node: string;
  // The first time, it comes from the npm registry.
  beforeAll(async () => {
    node = await nodeOfVersion(version);
  }, 120_000);

  test("the built-in fetch, undici's, agent.fetch and WebSocket", async () => {
    const report = await runProgram<Record<string, unknown>>(node, "surface.ts", places);
    const surface = {
      get: "orders GET /v1?x=1",
      request: "put",
      users: "users GET /v1",
      outside: "outside GET /v1",
      status: 200,
      json: { id: 42 },
      gzip: "orders unpacked",
      form: ["söme", "content", "name.txt"],
      aborted: "AbortError",
      timedOut: "TimeoutError",
      upload: "abc",
      download: ["first ", "second"],
      redirected: [true, "http://users:8443/moved", "users GET /moved"],
      redirectedOut: "outside GET /moved",
    };
    expect(report).toEqual({
      node: expect.stringMatching(`^v${version}\\.?`),
      builtIn: surface,
      undici: surface,
      dispatcher: surface,
      agent: surface,
      builtInSocket: "HELLO",
      undiciSocket: "HELLO",
      outsideSocket: "HELLO",
      services: ["orders", "users:8443"],
      restored: true,
      afterwards: "outside GET /after",
    });
  });

  test("the built package by require()", async () => {
    const built = new URL("../../dist/index.js", import.meta.url);
    expect(existsSync(built), "needs `npm run build`, which `npm test` does first").toBe(true);
    const report = await runProgram<Record<string, unknown>>(node, "required.cjs", places);
    expect(report).toEqual({
      node: expect.stringMatching(`^v${version}\\.?`),
      get: "orders GET /v1",
      own: "orders GET /v1",
      isBalancer: true,
      outside: "outside GET /v1",
    });
  });
});
