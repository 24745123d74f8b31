/** Publishes each change of a node's state, once. */
import { nodeStates } from "../core/events.ts";
import type { Node } from "../core/node.ts";
import { type NodeState, stateOf } from "../core/view.ts";

export class NodeEvents {
  readonly #service: string;

  constructor(service: string) {
    this.#service = service;
  }

  /** Publishes the node's state if it is another one than was published last; `otherwise` if that needs no reason. */
  show(node: Node, now: number, otherwise = ""): void {
    const { state, reason } = stateOf(node, now);
    if (state === node.shownState) return;
    this.#publish(node, state, reason || otherwise);
    node.shownState = state;
  }

  gone(node: Node): void {
    this.#publish(node, "gone", "removed by discovery");
  }

  #publish(node: Node, to: NodeState | "gone", reason: string): void {
    if (!nodeStates.hasSubscribers) return;
    nodeStates.publish({ service: this.#service, address: node.key, from: node.shownState, to, reason });
  }
}
