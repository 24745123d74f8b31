/** The story that `evenkeel demo --chain` tells: all of C freezes, and comes back. */
import type { Chain } from "../chain/chain.ts";

export interface ChainPhase {
  readonly id: "healthy" | "frozen" | "back";
  /** A few words for a table. */
  readonly title: string;
  /** What happens, in a sentence. */
  readonly story: string;
  begin(chain: Chain): void;
}

export const chainPhases: readonly ChainPhase[] = [
  {
    id: "healthy",
    title: "healthy",
    story: "A calls B for every call, and B calls C for half of them.",
    begin() {},
  },
  {
    id: "frozen",
    title: "C frozen",
    story:
      "All of C is frozen (SIGSTOP): it accepts calls and never answers. Half of the calls do not need it.",
    begin: (chain) => chain.freezeC(),
  },
  {
    id: "back",
    title: "C is back",
    story: "C runs again (SIGCONT).",
    begin: (chain) => chain.thawC(),
  },
];
