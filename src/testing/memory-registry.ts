/** A registry inside the process, source of endpoints and taker of registrations in one, for tests without a server. */
import type { Discovery, DiscoveryContext, Instance, Registry } from "../core/contracts.ts";
import type { Endpoint } from "../core/endpoint.ts";

/**
 * @example
 * const registry = new MemoryRegistry();
 * await using registration = register({ registry, service: "orders", server });
 * await using orders = new Balancer({ name: "orders", discovery: registry });
 */
export class MemoryRegistry implements Discovery, Registry {
  /** By service and id. */
  readonly #instances: Map<string, Map<string, Instance>> = new Map();
  readonly #watchers: Set<() => void> = new Set();

  /** What is registered now. */
  instances(service: string): readonly Instance[] {
    return [...(this.#instances.get(service)?.values() ?? [])];
  }

  async register(instance: Instance, { signal }: DiscoveryContext): Promise<AsyncDisposable> {
    signal.throwIfAborted();
    const { service, id } = instance;
    const present = this.#instances.get(service) ?? new Map<string, Instance>();
    this.#instances.set(service, present);
    present.set(id, instance);
    this.#changed();
    return {
      [Symbol.asyncDispose]: async () => {
        if (present.delete(id)) this.#changed();
      },
    };
  }

  async *watch({ service, signal }: DiscoveryContext): AsyncGenerator<readonly Endpoint[], void, void> {
    let isNews = true;
    let wake = (): void => {};
    const changed = (): void => {
      isNews = true;
      wake();
    };
    this.#watchers.add(changed);
    signal.addEventListener("abort", changed);
    try {
      while (!signal.aborted) {
        if (isNews) {
          isNews = false;
          yield this.instances(service);
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      signal.removeEventListener("abort", changed);
      this.#watchers.delete(changed);
    }
  }

  #changed(): void {
    for (const changed of [...this.#watchers]) changed();
  }
}
