/**
 * Runs the active check for each node, from its joining to its leaving.
 *
 * A node that is drained is checked all the same, so that it is known how it is when its drain is taken back. One
 * that discovery has removed is not, whatever calls it still has to finish.
 */
import type { Dispatcher } from "undici";
import type { CheckResult, CheckTarget, HealthCheck } from "../core/health-check.ts";
import type { Node } from "../core/node.ts";
import { servernameOf, virtualOrigin } from "./authority.ts";
import type { ResolvedOptions } from "./options.ts";
import type { Changes } from "./reducer.ts";
import type { TlsMaterial } from "./tls-files.ts";

export interface ChecksHost {
  readonly options: ResolvedOptions;
  /** What connections that are made now use. */
  readonly tls: TlsMaterial;
  /** Connections to a node that calls use, if there are any. */
  dispatcherFor(node: Node): Dispatcher | undefined;
  checked(node: Node, result: CheckResult): void;
}

export class Checks {
  readonly #check: HealthCheck;
  readonly #host: ChecksHost;
  readonly #watches: Map<Node, Watch> = new Map();

  constructor(check: HealthCheck, host: ChecksHost) {
    this.#check = check;
    this.#host = host;
  }

  /** Brings the watches in line with the nodes. */
  apply({ added, removed }: Changes): void {
    for (const node of removed) this.#end(node);
    for (const node of added) {
      // A report from within the start of another watch may have made it leave again.
      if (node.removedAt !== undefined) continue;
      const watch = new Watch();
      this.#watches.set(node, watch);
      watch.begin(this.#check, this.#targetOf(node), (result) => this.#host.checked(node, result));
    }
  }

  close(): void {
    for (const node of [...this.#watches.keys()]) this.#end(node);
  }

  #end(node: Node): void {
    this.#watches.get(node)?.end();
    this.#watches.delete(node);
  }

  #targetOf(node: Node): CheckTarget {
    const host = this.#host;
    const { options } = host;
    const { address } = node.endpoint;
    return {
      service: options.name,
      address,
      node,
      origin: virtualOrigin(address, options),
      servername: servernameOf(address, options),
      get tls() {
        return host.tls;
      },
      clock: options.clock,
      random: options.random,
      dispatcher: () => host.dispatcherFor(node),
    };
  }
}

/** The watch over one node, which heeds no report once it has ended. */
class Watch {
  #isOver = false;
  #watch: Disposable | undefined = undefined;

  begin(check: HealthCheck, target: CheckTarget, report: (result: CheckResult) => void): void {
    try {
      const watch = check.watch(target, (result) => {
        if (!this.#isOver) report(result);
      });
      // A report from within may have made the node leave.
      if (this.#isOver) watch[Symbol.dispose]();
      else this.#watch = watch;
    } catch (error) {
      // A check of the program's own that cannot begin says nothing about the node, and must not end the process.
      const message = `${target.service}: ${check.name} cannot watch ${target.address.text}: ${String(error)}`;
      process.emitWarning(
        Object.assign(new Error(message, { cause: error }), { name: "HealthCheckWarning" }),
      );
    }
  }

  end(): void {
    this.#isOver = true;
    this.#watch?.[Symbol.dispose]();
  }
}
