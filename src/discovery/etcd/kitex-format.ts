/**
 * The format of Kitex' etcd registry: the key is `kitex/registry-etcd/<service>/<host:port>`, the value
 * `{"network":"tcp","address":"10.0.0.1:8888","weight":10,"tags":{"zone":"b"}}`.
 *
 * Weights are whole numbers around 10, which is also what Kitex makes of 0 and less.
 */
import type { Endpoint } from "../../core/endpoint.ts";
import type { EtcdFormat, FormatOptions } from "./format.ts";
import { isObject, readObject, readText, readWeight, readZone } from "./read-json.ts";
import { writtenAddress } from "./written-address.ts";

/** discovery.DefaultWeight of Kitex. */
const usualWeight = 10;

export function kitexFormat({ prefix = "kitex/registry-etcd/" }: FormatOptions): EtcdFormat {
  return {
    prefix: (service) => `${prefix}${service}/`,
    decode({ value }): Endpoint {
      const fields = readObject(value);
      const address = readText(fields, "address");
      const weight = readWeight(fields.weight) ?? 0;
      const metadata = isObject(fields.tags) ? fields.tags : {};
      return {
        address: fields.network === "unix" ? `unix:${address}` : address,
        weight: weight > 0 ? weight : usualWeight,
        zone: readZone(metadata.zone),
        metadata,
      };
    },
    encode(instance) {
      const { authority } = writtenAddress(instance);
      const { service, weight = usualWeight, zone, metadata } = instance;
      if (!(weight >= 0.5)) {
        throw new RangeError(
          `${service}: Kitex' format cannot say weight ${weight}, it has whole numbers from 1`,
        );
      }
      const tags: Record<string, string> = {};
      for (const [name, tag] of Object.entries({ ...metadata, zone })) {
        if (tag !== undefined && tag !== null)
          tags[name] = typeof tag === "string" ? tag : JSON.stringify(tag);
      }
      const value = {
        network: "tcp",
        address: authority,
        weight: Math.round(weight),
        tags: Object.keys(tags).length === 0 ? null : tags,
      };
      return { key: `${prefix}${service}/${authority}`, value: JSON.stringify(value) };
    },
  };
}
