/**
 * A cluster's policy, which may be the program's own: what it throws ends neither the process nor a call.
 *
 * It is asked in timers, in listeners of connections and while an answer is handed on, where nobody could catch what it
 * throws. Only `pick` throws on, to whoever picks: that ends the one call that it was for.
 */
import type { CallInfo, Picker, Policy } from "../core/contracts.ts";
import type { Node } from "../core/node.ts";
import type { Outcome } from "../core/outcome.ts";
import type { Random } from "../core/random.ts";
import { roundRobin } from "../policy/round-robin.ts";
import type { ResolvedOptions } from "./options.ts";

type Method = "build" | "candidates" | "observe" | "pick";

export class GuardedPolicy {
  readonly #service: string;
  readonly #policy: Policy;
  readonly #random: Random;
  /** For when there is none to follow: all nodes were away for a moment, or a channel is new. */
  #latest: Picker | undefined = undefined;
  /** Each is told of once: what fails for one call fails for thousands. */
  readonly #reported: Set<Method> = new Set();

  constructor({ name, policy, random }: Pick<ResolvedOptions, "name" | "policy" | "random">) {
    this.#service = name;
    this.#policy = policy;
    this.#random = random;
  }

  /** @param previous what this returned before. */
  build(nodes: readonly Node[], previous: Picker | undefined): Picker {
    const before = previous instanceof StandIn ? previous.before : previous;
    try {
      this.#latest = this.#policy.build(nodes, before);
      return this.#latest;
    } catch (error) {
      this.report("build", error);
      return new StandIn(before ?? this.#latest, nodes, this.#random, error);
    }
  }

  /** All of the nodes, for a policy that does not say. */
  candidates(nodes: readonly Node[]): readonly Node[] {
    try {
      return this.#policy.candidates?.(nodes) ?? nodes;
    } catch (error) {
      this.report("candidates", error);
      return nodes;
    }
  }

  observe(node: Node, latencyMs: number, outcome: Outcome, now: number): void {
    try {
      this.#policy.observe?.(node, latencyMs, outcome, now);
    } catch (error) {
      this.report("observe", error);
    }
  }

  /** Tells of what the policy threw, where no call ends by it. */
  report(method: Method, error: unknown): void {
    if (this.#reported.has(method)) return;
    this.#reported.add(method);
    const message = `${this.#service}: ${method} of the policy ${this.#policy.name} threw: ${String(error)}`;
    process.emitWarning(Object.assign(new Error(message, { cause: error }), { name: "PolicyWarning" }));
  }
}

/** For a picker that could not be built: the one before it, as far as it names nodes that may be called now. */
class StandIn implements Picker {
  readonly before: Picker | undefined;
  readonly #nodes: ReadonlySet<Node>;
  /** In the place of nodes that may not be called any more. */
  readonly #others: Picker;
  readonly #error: unknown;

  constructor(before: Picker | undefined, nodes: readonly Node[], random: Random, error: unknown) {
    this.before = before;
    this.#nodes = new Set(nodes);
    this.#others = roundRobin({ random }).build(nodes);
    this.#error = error;
  }

  /** @throws what `build` threw, where nothing was ever built. */
  pick(call: CallInfo): Node | undefined {
    if (this.before === undefined) throw this.#error;
    const node = this.before.pick(call);
    return node !== undefined && this.#nodes.has(node) ? node : this.#others.pick(call);
  }
}
