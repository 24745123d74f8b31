/**
 * The story that the demo tells: six phases, and which node has which trouble when.
 *
 * Each trouble meets another node and ends with its phase, but the killed node stays dead until the last one. Node 1
 * is well all the time.
 */
import { slowFactor } from "./options.ts";
import type { Service } from "./service.ts";

export interface Phase {
  readonly id: "healthy" | "slow" | "killed" | "failing" | "frozen" | "recovered";
  /** A few words for a table. */
  readonly title: string;
  /** What happens, in a sentence. */
  readonly story: string;
  /** Numbers of the nodes that are in trouble throughout the phase. */
  readonly bad: readonly number[];
  begin(service: Service): Promise<void>;
  end(service: Service): Promise<void>;
}

const nothing = async (): Promise<void> => {};

export const nodesAtStart = 5;
/** They are nodes 6 and 7. */
export const newcomers = 2;
const [slowNode, killedNode, failingNode, frozenNode] = [2, 3, 4, 5] as const;

export const phases: readonly Phase[] = [
  {
    id: "healthy",
    title: "healthy",
    story: "All five nodes are well.",
    bad: [],
    begin: nothing,
    end: nothing,
  },
  {
    id: "slow",
    title: `one ${slowFactor}x slower`,
    story: `Node ${slowNode} takes ${slowFactor} times as long for each call.`,
    bad: [slowNode],
    begin: (service) => service.slowDown(slowNode),
    end: (service) => service.mend(slowNode),
  },
  {
    id: "killed",
    title: "one killed",
    story: `Node ${killedNode} was killed (SIGKILL); it is still announced.`,
    bad: [killedNode],
    begin: (service) => service.kill(killedNode),
    end: nothing,
  },
  {
    id: "failing",
    title: "one answers 500",
    story: `Node ${failingNode} answers every call with 500, at once. Node ${killedNode} is still dead.`,
    bad: [killedNode, failingNode],
    begin: (service) => service.fail(failingNode),
    end: (service) => service.mend(failingNode),
  },
  {
    id: "frozen",
    title: "one frozen",
    story: `Node ${frozenNode} is frozen (SIGSTOP): it accepts calls and never answers. Node ${killedNode} is still dead.`,
    bad: [killedNode, frozenNode],
    begin: async (service) => service.freeze(frozenNode),
    end: async (service) => service.thaw(frozenNode),
  },
  {
    id: "recovered",
    title: "back, two joined",
    story: `Node ${killedNode} is started again at its old address, and nodes 6 and 7 join.`,
    bad: [],
    begin: async (service) => {
      await service.restart(killedNode);
      await service.join();
    },
    end: nothing,
  },
];
