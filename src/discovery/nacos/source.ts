/** The source and registry that `nacos()` makes: services and instances, and the connections that carry them. */
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../../core/clock.ts";
import type { Discovery, DiscoveryContext, Instance, Registry } from "../../core/contracts.ts";
import type { Endpoint } from "../../core/endpoint.ts";
import type { Random } from "../../core/random.ts";
import { defaultCluster, endpointsOf, hostOf } from "./hosts.ts";
import { Latest } from "./latest.ts";
import { NacosLink } from "./link.ts";
import type { NacosLogin } from "./login.ts";
import type { ServiceInfo, ServiceKey } from "./messages.ts";
import type { ResolvedNacosOptions } from "./options.ts";
import type { NacosTransport } from "./transport.ts";
import { Registration, Subscription, type Wish } from "./wishes.ts";

/** How long the end of a process waits for its deregistration (discovery.md, self-registration). */
const deregisterMs = 3_000;

export interface NacosParts {
  readonly login: NacosLogin;
  readonly clock: Clock;
  readonly random: Random;
  /** Made when first needed, and again if that failed. */
  transport(): Promise<NacosTransport>;
}

export class NacosSource implements Discovery, Registry {
  readonly #options: ResolvedNacosOptions;
  readonly #parts: NacosParts;
  readonly #links: Set<NacosLink> = new Set();

  constructor(options: ResolvedNacosOptions, parts: NacosParts) {
    this.#options = options;
    this.#parts = parts;
  }

  async *watch(context: DiscoveryContext): AsyncGenerator<readonly Endpoint[], void, void> {
    const { signal } = context;
    if (signal.aborted) return;
    const key = this.#keyOf(context.service);
    const latest = new Latest<readonly Endpoint[]>();
    using _closing = latest.closeWith(signal);
    const { clusters } = this.#options;
    /** The set in use, unless an error came since: then the same set is news. */
    let known: readonly Endpoint[] | undefined;
    let isProtected = false;
    const take = (info: ServiceInfo): void => {
      const endpoints = endpointsOf(info, clusters);
      if (info.reachProtectionThreshold && !isProtected) {
        const why = "so few instances are healthy that Nacos gives all of them (its protection threshold)";
        context.report(new Error(`nacos: ${key.service}: ${why}`));
        known = undefined;
      }
      isProtected = info.reachProtectionThreshold;
      if (known !== undefined && isDeepStrictEqual(known, endpoints)) return;
      known = endpoints;
      latest.put(endpoints);
    };
    const fail = (error: Error): void => {
      known = undefined;
      latest.clear();
      context.report(new Error(`${key.service}: ${error.message}`, { cause: error }));
    };
    const subscription = new Subscription(key, clusters, { info: take, failed: fail });
    const link = await this.#linkFor(subscription);
    try {
      for (;;) {
        const endpoints = await latest.take();
        if (endpoints === undefined) return;
        yield endpoints;
      }
    } finally {
      this.#letGo(link, subscription);
    }
  }

  async register(instance: Instance, context: DiscoveryContext): Promise<AsyncDisposable> {
    const { signal } = context;
    const { service, id } = instance;
    const host = hostOf(instance, this.#options.clusters[0] ?? defaultCluster);
    signal.throwIfAborted();
    const first = Promise.withResolvers<void>();
    const named = (what: string, error: unknown): Error => {
      const why = error instanceof Error ? error.message : String(error);
      return new Error(`${service}: ${id} ${what}: ${why}`, { cause: error });
    };
    const registration = new Registration(this.#keyOf(service), host, {
      registered: () => first.resolve(),
      failed: (error) => context.report(named("is not registered", error)),
    });
    const link = await this.#linkFor(registration);
    const givenUp = Promise.withResolvers<void>();
    const giveUp = (): void => {
      first.reject(signal.reason);
      givenUp.resolve();
      this.#letGo(link, registration);
    };
    const end = async (): Promise<void> => {
      if (signal.aborted) return;
      try {
        await Promise.race([link.remove(registration, deregisterMs), givenUp.promise]);
      } catch (error) {
        if (!signal.aborted) throw named("could not be deregistered", error);
      } finally {
        signal.removeEventListener("abort", giveUp);
        this.#closeIfIdle(link);
      }
    };
    signal.addEventListener("abort", giveUp);
    if (signal.aborted) giveUp();
    await first.promise;
    let ended: Promise<void> | undefined;
    return {
      [Symbol.asyncDispose]: () => {
        ended ??= end();
        return ended;
      },
    };
  }

  #keyOf(service: string): ServiceKey {
    const { namespace, group } = this.#options;
    return { namespace, group, service: this.#options.service ?? service };
  }

  /**
   * The connection that the wish is given to: all share one, except for a second registration of the same service.
   * A server keeps one instance of a service for each connection.
   */
  async #linkFor(wish: Subscription | Registration): Promise<NacosLink> {
    const { login, clock, random } = this.#parts;
    const transport = await this.#parts.transport();
    const isTaken = (one: Wish): boolean =>
      one instanceof Registration && one.key.service === wish.key.service;
    let link = [...this.#links].find((one) => !(wish instanceof Registration && one.has(isTaken)));
    if (link === undefined) {
      link = new NacosLink({ options: this.#options, transport, login, clock, random });
      this.#links.add(link);
    }
    link.add(wish);
    return link;
  }

  /**
   * Drops a wish without waiting for anything. If others need the connection, the server is asked to undo it, which
   * otherwise would last as long as that; else it ends with the connection.
   */
  #letGo(link: NacosLink, wish: Subscription | Registration): void {
    // The server pushes to the connection, not to each of those who asked for the same service over it.
    const isSame = (one: Wish): boolean =>
      one !== wish && one instanceof Subscription && one.key.service === wish.key.service;
    const isShared = wish instanceof Subscription && link.has(isSame);
    if (isShared || link.isIdle(wish)) link.forget(wish);
    else {
      const closeIfIdle = (): void => this.#closeIfIdle(link);
      // Nobody waits for it. A server that could not be told ends it with the connection.
      link.remove(wish, deregisterMs).then(closeIfIdle, closeIfIdle);
    }
    this.#closeIfIdle(link);
  }

  #closeIfIdle(link: NacosLink): void {
    if (!link.isIdle()) return;
    this.#links.delete(link);
    link.close();
  }
}
