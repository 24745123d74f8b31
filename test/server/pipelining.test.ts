/** What a protected server makes of calls that are sent without waiting for answers, on each Node.js that is supported. */
import { expect, test } from "vitest";
import { nodeOfVersion, nodeVersions } from "../agent/support/node-versions.ts";
import { runProgramOn } from "./support/programs.ts";

const program = new URL("programs/pipelined.ts", import.meta.url);

// The first time, a Node.js comes from the npm registry.
test.each(Object.values(nodeVersions))(
  "Node %s: all of them go with their connection",
  async (version) => {
    const report = await runProgramOn(await nodeOfVersion(version), program);
    expect(report).toEqual({
      node: expect.stringMatching(`^v${version}\\.?`),
      inflight: [12, 0],
      reasons: Array.from({ length: 12 }, () => "AbortError"),
      waiting: 0,
      warnings: [],
    });
  },
  120_000,
);
