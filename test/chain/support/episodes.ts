/** The faults that the chain goes through. */
import { behaviours, processes } from "../../../src/cli/chain/plan.ts";
import type { Episode } from "./episode.ts";

const halfNeedsC = {
  withCPerSecond: 250,
  withoutCPerSecond: 250,
  workersOfB: processes.b * behaviours.b.workers,
} as const;
const attempts = 3;

/** All of C is frozen. */
export function frozenC(faultSeconds: number): Episode {
  return {
    name: "C is frozen",
    chain: { calls: { attempts } },
    ...halfNeedsC,
    beforeSeconds: 3,
    faultSeconds,
    afterSeconds: 4,
    begin: (chain) => chain.freezeC(),
    end: (chain) => chain.thawC(),
  };
}

const short = { ...halfNeedsC, beforeSeconds: 2, faultSeconds: 4, afterSeconds: 3 } as const;

/** C takes ten times as long, and can do 80 calls a second of the 250 that are asked for. */
export const slowC: Episode = {
  ...short,
  name: "C is 10x slower",
  chain: { calls: { attempts } },
  begin: (chain) => chain.configure("c", { workMs: 10 * behaviours.c.workMs }),
  end: (chain) => chain.configure("c", { workMs: behaviours.c.workMs }),
};

export const failingC: Episode = {
  ...short,
  name: "C fails",
  chain: { calls: { attempts: 1 } },
  begin: (chain) => chain.configure("c", { status: 503 }),
  end: (chain) => chain.configure("c", { status: 0 }),
};

/**
 * Without the breaker, which would leave nothing to repeat: what is held is held by the budget and `evenkeel-retry`. The
 * budget's bound is one over ten seconds: what was not used before may be used at once.
 */
export function retriedC(faultSeconds: number): Episode {
  return {
    ...failingC,
    name: "C fails, each layer retries",
    chain: { calls: { attempts, breaker: false } },
    faultSeconds,
  };
}

/** Two processes of two workers each that take 20 ms: 200 calls a second. */
const scarce = { workMs: 20, workers: 2 } as const;
export const nominalCapacity: number = (processes.b * scarce.workers * 1_000) / scarce.workMs;

/** Three times what B can do, from one moment on: until then it has workers enough. */
export const overloadedB: Episode = {
  name: "B is overloaded 3x",
  chain: { b: { workMs: scarce.workMs }, calls: { attempts } },
  withCPerSecond: 0,
  withoutCPerSecond: 3 * nominalCapacity,
  beforeSeconds: 2,
  faultSeconds: 6,
  afterSeconds: 3,
  workersOfB: processes.b * scarce.workers,
  begin: (chain) => chain.configure("b", { workers: scarce.workers }),
  end: (chain) => chain.configure("b", { workers: behaviours.b.workers }),
};
