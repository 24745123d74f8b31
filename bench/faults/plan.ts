/** What the fault bench does to a node, when, and what every system is held to. */
import type { Instance } from "./instance.ts";

export const nodes = 5;
export const ratePerSecond = 500;
/** From the call's start to the end of its body, the same for every system. */
export const totalMs = 2_000;
/** How long one try may take, for the systems that can be told: 60 times the work. */
export const attemptMs = 300;
/** All tries of one call, for the systems that retry. */
export const attempts = 3;
/** What Evenkeel waits at most before its first retry by default; given to the others where they are tuned alike. */
export const backoffMs = 25;

/**
 * A run: calls that are not counted, so that none pays for connections and compilation; then health, the fault,
 * and the recovery. The fault outlasts Evenkeel's first ejection (5 s), so that its return to the bad node counts.
 */
export const warmUpSeconds = 0.5;
export const healthySeconds = 1;
export const faultSeconds = 6;
export const recoverySeconds = 1;

export const work = { workMs: 5, workers: 8 } as const;
const slowFactor = 10;

export interface Fault {
  readonly title: string;
  /** Acts on the bad node. */
  strike(instance: Instance): Promise<void>;
  /** Ends it; resolves with the process that now stands at the address. */
  end(instance: Instance): Promise<Instance>;
}

export const faults: readonly Fault[] = [
  {
    title: "One node dies (kill -9)",
    strike: (instance) => instance.kill(),
    end: (instance) => instance.restart(),
  },
  {
    title: "One node hangs (SIGSTOP)",
    strike: async (instance) => instance.freeze(),
    end: async (instance) => {
      instance.thaw();
      return instance;
    },
  },
  {
    title: "One node answers 500 at once",
    strike: (instance) => instance.configure({ status: 500 }),
    end: async (instance) => {
      await instance.configure({ status: 200 });
      return instance;
    },
  },
  {
    title: `One node is ${slowFactor} times slower`,
    strike: (instance) => instance.configure({ workMs: work.workMs * slowFactor }),
    end: async (instance) => {
      await instance.configure({ workMs: work.workMs });
      return instance;
    },
  },
];
