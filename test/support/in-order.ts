/** A policy without chance: always the first node that the call has not tried. */
import type { Policy } from "../../src/index.ts";

export function inOrder(): Policy {
  return {
    name: "inOrder",
    build: (nodes) => ({ pick: (call) => nodes.find((node) => !call.tried.includes(node)) }),
  };
}
