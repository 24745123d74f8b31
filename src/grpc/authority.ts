/**
 * The `:authority` of a service's calls, where the channel has no other: the service's name. grpc-js makes a URL of it for
 * each connection, and servers refuse what is no host.
 */
import type { ResolvedOptions } from "../cluster/options.ts";

type NamingOptions = Pick<ResolvedOptions, "name" | "host">;

/** @throws TypeError for a name that cannot be one (`services/orders`, as etcd may have it) where there is no `host`. */
export function checkAuthority({
  name,
  host,
}: {
  readonly name: string;
  readonly host?: string | undefined;
}): void {
  if (host !== undefined || isAuthority(name)) return;
  throw new TypeError(
    `name cannot be the :authority of gRPC calls, got "${name}": give them another one as host`,
  );
}

export function authorityOf({ name, host }: NamingOptions): string {
  return isAuthority(name) ? name : (host ?? name);
}

function isAuthority(name: string): boolean {
  return /^[\w.~-]+(:\d+)?$/.test(name) && URL.canParse(`http://${name}`);
}
