/**
 * `evenkeel/etcd`: instances of services in etcd, watched and registered over its v3 API.
 *
 * One object serves any number of services over one connection with one watch stream. It connects when the first is
 * watched or registered, and closes with the last.
 *
 * @example
 * const registry = etcd({ endpoints: ["10.0.0.1:2379", "10.0.0.2:2379", "10.0.0.3:2379"] });
 * const orders = new Balancer({ name: "orders", discovery: registry });
 * const users = new Balancer({ name: "users", discovery: registry });
 */
import { type Clock, systemClock } from "../core/clock.ts";
import type { Discovery, DiscoveryContext, Instance, Registry } from "../core/contracts.ts";
import type { Endpoint } from "../core/endpoint.ts";
import type { Random } from "../core/random.ts";
import { GrpcSession } from "./etcd/grpc-session.ts";
import { Link } from "./etcd/link.ts";
import { type EtcdOptions, type ResolvedEtcdOptions, resolveEtcdOptions } from "./etcd/options.ts";
import { loadPeers } from "./etcd/peers.ts";
import { Registration } from "./etcd/registration.ts";
import { ServiceWatch } from "./etcd/service-watch.ts";

export type { EtcdDecode, EtcdEntry, EtcdFormat, Protocol } from "./etcd/format.ts";
export type { EtcdFormatName } from "./etcd/formats.ts";
export type { EtcdOptions, EtcdTls } from "./etcd/options.ts";

/** Ceiling of the first pause, as everywhere in discovery: see `guard.ts`. */
const backoffMs = 100;
/** A connection that held this long was good. */
const stableMs = 10_000;

/**
 * A source and a registry of instances in etcd (3.4 or later). It needs `@grpc/grpc-js` and `@grpc/proto-loader`.
 *
 * @throws TypeError or RangeError that names the option and the value it got.
 */
export function etcd(options: EtcdOptions): Discovery & Registry {
  return new EtcdRegistry(resolveEtcdOptions(options), systemClock, Math.random);
}

class EtcdRegistry implements Discovery, Registry {
  readonly #options: ResolvedEtcdOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #link: Link;

  constructor(options: ResolvedEtcdOptions, clock: Clock, random: Random) {
    const { members, backoffMaxMs } = options;
    this.#options = options;
    this.#clock = clock;
    this.#random = random;
    this.#link = new Link({
      members,
      clock,
      random,
      backoffMs,
      backoffMaxMs,
      stableMs,
      open: async (member, ended, signal) =>
        GrpcSession.open(await loadPeers(), options, clock, { member, ended, signal }),
    });
  }

  async *watch(context: DiscoveryContext): AsyncGenerator<readonly Endpoint[], void, void> {
    const { signal } = context;
    if (signal.aborted) return;
    const { format, backoffMaxMs, service = context.service } = this.#options;
    let wake = (): void => {};
    const awaken = (): void => wake();
    const watch = new ServiceWatch({
      prefix: format.prefix(service),
      decode: (entry) => format.decode(entry, service),
      clock: this.#clock,
      random: this.#random,
      backoffMs,
      backoffMaxMs,
      wake: awaken,
    });
    signal.addEventListener("abort", awaken);
    const leave = this.#link.join(watch);
    try {
      while (!signal.aborted) {
        const news = watch.take();
        if (news === undefined) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        } else if ("error" in news) {
          context.report(news.error);
        } else {
          yield news.endpoints;
        }
      }
    } finally {
      signal.removeEventListener("abort", awaken);
      watch.close();
      leave();
    }
  }

  async register(instance: Instance, context: DiscoveryContext): Promise<AsyncDisposable> {
    const { signal } = context;
    signal.throwIfAborted();
    const { format, ttlSeconds, service = instance.service } = this.#options;
    const encode = format.encode?.bind(format);
    if (encode === undefined) {
      throw new TypeError("etcd.format must have encode() for instances to be registered, got none");
    }
    const entry = (lease: string) => encode({ ...instance, service }, lease);
    // What cannot be written should be known now.
    entry("0");
    const letGo = (): void => registration.letGo(signal.reason);
    const registration: Registration = new Registration(this.#link, {
      name: instance.id,
      entry,
      ttlSeconds,
      clock: this.#clock,
      random: this.#random,
      backoffMs,
      report: (error) => context.report(error),
      left: () => signal.removeEventListener("abort", letGo),
    });
    signal.addEventListener("abort", letGo, { once: true });
    await registration.registered;
    return registration;
  }
}
