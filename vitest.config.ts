// How the tests run: unit tests side by side, then those of registries three at a time, then the other system tests one
// file at a time.
//
// The groups count from 1, as Vitest runs a project with one worker and group 0 after all others: the unit tests
// have one worker on a machine with two cores.
import { defineConfig, type ViteUserConfig } from "vitest/config";

/** Tests of registries that put the machine to work or measure what it does. */
const measured = ["end-to-end", "speed", "consul-figures", "nacos-figures", "etcd-scale"].map(
  (name) => `test/registries/${name}.test.ts`,
);

const config: ViteUserConfig = defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["src/**/*.test.ts"],
          testTimeout: 10_000,
          sequence: { groupOrder: 1 },
        },
      },
      // Real registries, which are waited for more than they work: side by side.
      {
        test: {
          name: "registries",
          include: ["test/registries/**/*.test.ts"],
          exclude: measured,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          globalSetup: "test/registries/support/summary.ts",
          maxWorkers: 3,
          sequence: { groupOrder: 2 },
        },
      },
      // Real processes and sockets: alone on the machine, so that nothing starves them of its two cores.
      {
        test: {
          name: "system",
          include: ["test/**/!(registries)/**/*.test.ts", "test/*.test.ts", ...measured],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          maxWorkers: 1,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});

export default config;
