// How the tests run: unit tests side by side, then the system tests one file at a time.
//
// The groups count from 1, as Vitest runs a project with one worker and group 0 after all others: the unit tests
// have one worker on a machine with two cores.
import { defineConfig, type ViteUserConfig } from "vitest/config";

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
      // Real processes and sockets: alone on the machine, so that nothing starves them of its two cores.
      {
        test: {
          name: "system",
          include: ["test/**/*.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          globalSetup: "test/registries/support/summary.ts",
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});

export default config;
