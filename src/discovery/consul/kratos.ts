/**
 * How Kratos' services are written in Consul (its contrib/registry/consul): the version as a tag, and one tagged
 * address for each scheme, whose address is a full URL. Weights are in the metadata.
 */
import { type EntryService, isText, metaWeight } from "./entry.ts";

/** What Consul adds by itself. */
const consulsOwn: ReadonlySet<string> = new Set(["lan_ipv4", "lan_ipv6", "wan_ipv4", "wan_ipv6"]);

/** What a Kratos client takes for the weight of an instance that names none (selector/node/direct). */
const defaultWeight = 100;

const schemes = { http: ["http", "https"], grpc: ["grpc", "grpcs"] } as const;

/**
 * The endpoint of this protocol; undefined when the instance has no tagged address, as one that was not written by
 * Kratos. One that has only others is given as it is: the guard then says that it does not fit.
 */
export function kratosAddress(service: EntryService, protocol: "http" | "grpc"): string | undefined {
  const urls = Object.entries(service.TaggedAddresses ?? {}).flatMap(([tag, tagged]) =>
    !consulsOwn.has(tag) && isText(tagged?.Address) ? [tagged.Address] : [],
  );
  for (const written of urls) {
    if (!URL.canParse(written)) continue;
    const url = new URL(written);
    const scheme = url.protocol.slice(0, -1);
    if (!schemes[protocol].some((one) => one === scheme)) continue;
    // Early versions of Kratos 2 said it in the query.
    const isSecure = scheme === `${protocol}s` || url.searchParams.get("isSecure") === "true";
    return `${isSecure ? "https" : "http"}://${url.host}`;
  }
  return urls[0];
}

export function kratosVersion(service: EntryService): string | undefined {
  const tags: readonly unknown[] = Array.isArray(service.Tags) ? service.Tags : [];
  const tag = tags.findLast((one) => isText(one) && one.startsWith("version="));
  const version = String(tag ?? "").slice("version=".length);
  return version === "" ? undefined : version;
}

/** Whole numbers only, as Kratos parses them. */
export function kratosWeight(service: EntryService): number {
  const weight = metaWeight(service);
  return weight !== undefined && Number.isInteger(weight) ? weight : defaultWeight;
}
