/**
 * What `/v1/health/service/:name` answers, as endpoints.
 *
 * Each part is read only if it is what it should be; an address that cannot be one is passed on as it is, since the
 * guard refuses it alone and by name.
 */
import type { Endpoint } from "../../core/endpoint.ts";
import { type EntryService, type HealthEntry, isText, metaWeight } from "./entry.ts";
import { kratosAddress, kratosVersion, kratosWeight } from "./kratos.ts";
import type { ResolvedConsulOptions } from "./options.ts";

type Rules = Pick<ResolvedConsulOptions, "format" | "protocol" | "passingOnly">;

/** @throws Error when the answer is no array, and so no answer of Consul's. */
export function endpointsOf(entries: unknown, rules: Rules): readonly Endpoint[] {
  if (!Array.isArray(entries)) throw new Error("the answer is not an array of instances");
  return (entries as readonly HealthEntry[]).flatMap((entry) => {
    const status = statusOf(entry);
    if (status === "critical" || (status === "warning" && rules.passingOnly)) return [];
    return [endpointOf(entry, status, rules)];
  });
}

/** The worst of all checks, those of the node included. */
function statusOf(entry: HealthEntry | null): "passing" | "warning" | "critical" {
  let worst: "passing" | "warning" = "passing";
  for (const check of Array.isArray(entry?.Checks) ? entry.Checks : []) {
    if (check?.Status === "warning") worst = "warning";
    else if (check?.Status !== "passing") return "critical";
  }
  return worst;
}

function endpointOf(entry: HealthEntry | null, status: "passing" | "warning", rules: Rules): Endpoint {
  const service = entry?.Service ?? {};
  const meta = service.Meta ?? {};
  const node = entry?.Node ?? {};
  const zone = [meta.zone, service.Locality?.Zone, node.Locality?.Zone, node.Meta?.zone].find(isText);
  const isKratos = rules.format === "kratos";
  const version = isKratos ? kratosVersion(service) : undefined;
  return {
    address:
      (isKratos ? kratosAddress(service, rules.protocol) : undefined) ?? plainAddress(service, node.Address),
    weight: weightOf(service, status, isKratos),
    ...(zone === undefined ? {} : { zone }),
    metadata: {
      id: service.ID,
      node: node.Node,
      tags: service.Tags ?? [],
      ...(version === undefined ? {} : { version }),
      ...meta,
    },
  };
}

/** An instance without an address of its own is at that of its node. */
function plainAddress(service: EntryService, nodeAddress: unknown): string {
  const host = [service.Address, nodeAddress].find(isText) ?? "";
  const scheme = service.Meta?.secure === "true" ? "https://" : "";
  return `${scheme}${host.includes(":") ? `[${host}]` : host}:${typeof service.Port === "number" ? service.Port : 0}`;
}

/** `Meta.weight` carries what Consul's own weights, whole numbers from 1, cannot. */
function weightOf(service: EntryService, status: "passing" | "warning", isKratos: boolean): number {
  const { Passing, Warning } = service.Weights ?? {};
  if (status === "warning") return typeof Warning === "number" ? Warning : 1;
  if (isKratos) return kratosWeight(service);
  return metaWeight(service) ?? (typeof Passing === "number" ? Passing : 1);
}
