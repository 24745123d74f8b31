/** Asks name servers through c-ares, and sorts what comes back into records, "there are none" and errors. */
import { Resolver } from "node:dns/promises";
import type { Clock } from "../../core/clock.ts";
import { describeError, errorCode } from "../../core/errors.ts";
import type { ResolvedDnsOptions } from "./options.ts";
import type { AddressRecord, SrvRecord } from "./records.ts";

/** What became of one question. */
export type Reply<Record> =
  /** At least one. */
  | { readonly kind: "records"; readonly records: readonly Record[] }
  /** The server says that the name does not exist (NXDOMAIN) or has no record of this type (NODATA). */
  | { readonly kind: "none"; readonly error: Error }
  | { readonly kind: "failed"; readonly error: Error };

/** Questions to name servers. None of them rejects. */
export interface Lookup {
  addresses(name: string, type: "A" | "AAAA"): Promise<Reply<AddressRecord>>;
  services(name: string): Promise<Reply<SrvRecord>>;
  /** Ends the questions under way, which fail; so do all further ones, without being asked. */
  close(): void;
}

/** c-ares waits longer with each try, and was seen to take 4 timeouts for 2 tries. It should end by itself; this is for when not. */
const spareMs = 1_000;

export function createLookup(
  options: Pick<ResolvedDnsOptions, "servers" | "timeoutMs" | "tries">,
  clock: Clock,
): Lookup {
  const { servers, timeoutMs, tries } = options;
  const resolver = new Resolver({ timeout: timeoutMs, tries });
  if (servers !== undefined) resolver.setServers(servers);
  const limitMs = timeoutMs * 2 ** tries * Math.max(1, resolver.getServers().length) + spareMs;
  let isClosed = false;

  async function ask<Record>(
    name: string,
    type: string,
    query: () => Promise<readonly Record[]>,
  ): Promise<Reply<Record>> {
    // A canceled resolver would take further questions.
    if (isClosed)
      return { kind: "failed", error: new Error(`DNS ${type} ${name}: nobody wants to know any more`) };
    const timer = clock.schedule(() => resolver.cancel(), limitMs);
    try {
      const records = await query();
      if (records.length > 0) return { kind: "records", records };
      return { kind: "none", error: new Error(`DNS ${type} ${name}: no such record`) };
    } catch (cause) {
      const code = errorCode(cause);
      const said = code === "ENOTFOUND" ? "no such name" : code === "ENODATA" ? "no such record" : undefined;
      const error = new Error(`DNS ${type} ${name}: ${said ?? describeError(cause)}`, { cause });
      return { kind: said === undefined ? "failed" : "none", error };
    } finally {
      timer.cancel();
    }
  }

  return {
    addresses: (name, type) =>
      ask(name, type, () =>
        type === "A" ? resolver.resolve4(name, { ttl: true }) : resolver.resolve6(name, { ttl: true }),
      ),
    services: (name) => ask(name, "SRV", () => resolver.resolveSrv(name)),
    close: () => {
      isClosed = true;
      resolver.cancel();
    },
  };
}
