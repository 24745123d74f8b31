/** `NODE_DEBUG=evenkeel` in a process of its own: a line for each event on stderr, and nothing at all without it. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const program = `
  import diagnosticsChannel from "node:diagnostics_channel";
  const { createTestBalancer } = await import(${JSON.stringify(new URL("../src/testing/index.ts", import.meta.url).href)});
  const orders = createTestBalancer({
    name: "orders",
    respond: ({ attempt }) => ({ status: attempt === 1 ? 503 : 200 }),
    retry: { backoffMs: 0 },
  });
  await orders.fetch("/v1/orders?token=secret");
  await orders.close();
  await orders.fetch("/").catch(() => {});
  const names = ["attempt:start", "attempt:end", "node:state", "discovery:update", "discovery:error", "retry", "reject"];
  console.log(names.filter((name) => diagnosticsChannel.channel("evenkeel:" + name).hasSubscribers).length);
`;

function run(
  debug: string | undefined,
): Promise<{ readonly output: string; readonly lines: readonly string[] }> {
  const { PATH, HOME } = process.env;
  const env = debug === undefined ? { PATH, HOME } : { PATH, HOME, NODE_DEBUG: debug };
  const node = fileURLToPath(new URL("../node_modules/.bin/node", import.meta.url));
  return new Promise((resolve, reject) => {
    execFile(
      node,
      ["--input-type=module", "-e", program],
      { env, timeout: 20_000 },
      (error, stdout, stderr) => {
        if (error !== null) reject(new Error(`${error.message}\n${stderr}`));
        else resolve({ output: stdout.trim(), lines: stderr.split("\n").filter((line) => line !== "") });
      },
    );
  });
}

test("it prints each event as one line", async () => {
  const { output, lines } = await run("evenkeel");
  expect(output).toBe("7");
  const texts = lines.map((line) => {
    expect(line).toMatch(/^EVENKEEL \d+: orders: /);
    return line.replace(/^EVENKEEL \d+: orders: /, "").replaceAll(/\d+\.\d ms/g, "T");
  });
  const node = "http:\\/\\/10\\.0\\.0\\.\\d:8080";
  const expected = [
    ...[1, 2, 3].map(() => `${node}: new -> ready \\(named by discovery\\)`),
    "discovery: 3 endpoints, 3 added, 0 removed, 0 changed",
    `GET \\/v1\\/orders: attempt 1 to ${node}`,
    `GET \\/v1\\/orders: attempt 1 to ${node} ended after T: failure \\(status: 503\\)`,
    `attempt 2 follows in T, as ${node} failed \\(status: 503\\)`,
    `GET \\/v1\\/orders: attempt 2 to ${node}`,
    `GET \\/v1\\/orders: attempt 2 to ${node} ended after T: success`,
  ].map((pattern) => expect.stringMatching(new RegExp(`^${pattern}$`)));
  expect(texts).toEqual(expected);
});

test.each([undefined, "http"])(
  "with NODE_DEBUG=%s it prints nothing and listens to nothing",
  async (debug) => {
    const { output, lines } = await run(debug);
    expect(output).toBe("0");
    expect(lines.filter((line) => /evenkeel/i.test(line))).toEqual([]);
  },
);
