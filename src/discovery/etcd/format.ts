/**
 * How instances are written in etcd: under which keys, and as what text.
 *
 * Go has no one way, so the formats of the four common writers come along; any other is an object or a function of
 * yours.
 */
import type { Instance } from "../../core/contracts.ts";
import type { Endpoint } from "../../core/endpoint.ts";

/** One key of etcd with its value, as text. */
export interface EtcdEntry {
  readonly key: string;
  readonly value: string;
}

/** Which of the endpoints of an instance with several is meant, and what an instance is announced as. */
export type Protocol = "http" | "grpc";

/** A way to write instances. */
export interface EtcdFormat {
  /** What all keys of this service begin with, and no others do. */
  prefix(service: string): string;
  /**
   * The endpoint that stands there, or undefined for what is none of this service.
   *
   * @throws for a value that makes no sense; it is reported with its key and left out.
   */
  decode(entry: EtcdEntry, service: string): Endpoint | undefined;
  /**
   * The entry that announces an instance; without it nothing can be registered.
   *
   * @param lease the id of the lease under which it is put.
   * @throws for an instance that cannot be written this way.
   */
  encode?(instance: Instance, lease: string): EtcdEntry;
}

/** Reads one entry, for instances under `<prefix><service>/`. As `EtcdFormat.decode`. */
export type EtcdDecode = EtcdFormat["decode"];

export interface FormatOptions {
  /** What stands before the service's name; undefined for the format's own. */
  readonly prefix: string | undefined;
  readonly protocol: Protocol;
}
