/**
 * The format of Kratos' etcd registry: the key is `/microservices/<service>/<id>`, the value
 * `{"id":"","name":"","version":"","metadata":{"weight":"2"},"endpoints":["http://10.0.0.1:8000","grpc://10.0.0.1:9000"]}`.
 *
 * One instance has an endpoint for each of its protocols; of them the one is taken that the caller speaks. Weights are
 * whole numbers around 100.
 */
import type { Endpoint } from "../../core/endpoint.ts";
import type { EtcdFormat, FormatOptions, Protocol } from "./format.ts";
import { isObject, readObject, readWeight, readZone } from "./read-json.ts";
import { writtenAddress } from "./written-address.ts";

/** What Kratos takes for an instance without a weight, or with one that is no whole number (selector/node/direct). */
const usualWeight = 100;

export function kratosFormat({ prefix = "/microservices/", protocol }: FormatOptions): EtcdFormat {
  return {
    prefix: (service) => `${prefix}${service}/`,
    decode({ value }, service): Endpoint | undefined {
      const fields = readObject(value);
      // Kratos itself lists `<prefix>/<service>` without a slash, and tells services apart by this.
      if (fields.name !== service) return undefined;
      const metadata = isObject(fields.metadata) ? fields.metadata : {};
      const { id, version } = fields;
      return {
        address: addressOf(fields.endpoints, protocol),
        weight: weightOf(metadata.weight),
        zone: readZone(metadata.zone),
        metadata: { ...metadata, id, version },
      };
    },
    encode(instance) {
      const { authority, isSecure } = writtenAddress(instance);
      const { service, id, weight, zone, version, metadata } = instance;
      const scheme = `${protocol}${isSecure ? "s" : ""}`;
      const texts = { ...asTexts(metadata), ...asTexts({ weight: asWhole(weight), zone }) };
      const value = {
        id,
        name: service,
        version: version ?? "",
        metadata: Object.keys(texts).length === 0 ? null : texts,
        endpoints: [`${scheme}://${authority}`],
      };
      return { key: `${prefix}${service}/${id}`, value: JSON.stringify(value) };
    },
  };
}

function weightOf(written: unknown): number {
  const weight = readWeight(written);
  return weight !== undefined && Number.isInteger(weight) ? weight : usualWeight;
}

/** 0 drains, and so must nothing else. */
function asWhole(weight: number | undefined): number | undefined {
  return weight === undefined || weight === 0 ? weight : Math.max(1, Math.round(weight));
}

function addressOf(endpoints: unknown, protocol: Protocol): string {
  if (!Array.isArray(endpoints)) throw new TypeError("it has no endpoints");
  for (const endpoint of endpoints) {
    const match = /^(http|grpc)(s?):\/\/([^/?#]+)\/?(?:\?(.*))?$/i.exec(String(endpoint));
    if (match === null || match[1]?.toLowerCase() !== protocol) continue;
    // Kratos before 2.4 wrote "grpc://10.0.0.1:9000?isSecure=true".
    const isSecure = match[2] !== "" || new URLSearchParams(match[4]).get("isSecure") === "true";
    return `http${isSecure ? "s" : ""}://${match[3]}`;
  }
  throw new TypeError(`it has no ${protocol} endpoint among ${JSON.stringify(endpoints)}`);
}

/** Kratos' metadata is a map from text to text, and it cannot read anything else. */
function asTexts(fields: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, string>> {
  const texts: Record<string, string> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined || value === null) continue;
    texts[name] = typeof value === "string" ? value : JSON.stringify(value);
  }
  return texts;
}
