/**
 * The format of etcd's official Go package, go.etcd.io/etcd/client/v3/naming/endpoints: the key is
 * `<service>/<host:port>`, the value `{"Op":0,"Addr":"10.0.0.1:8080","Metadata":{"weight":2}}`.
 *
 * `Addr` is what grpc-go dials, so it has no scheme; an instance that speaks TLS says so in `Metadata.scheme`.
 */
import type { Endpoint } from "../../core/endpoint.ts";
import type { EtcdFormat, FormatOptions } from "./format.ts";
import { isObject, readObject, readText, readWeight, readZone } from "./read-json.ts";
import { writtenAddress } from "./written-address.ts";

export function etcdFormat({ prefix = "" }: FormatOptions): EtcdFormat {
  return {
    prefix: (service) => `${prefix}${service}/`,
    decode({ value }): Endpoint {
      const fields = readObject(value);
      const written = readText(fields, "Addr");
      const metadata = isObject(fields.Metadata) ? fields.Metadata : {};
      const { scheme, weight, zone } = metadata;
      return {
        address: scheme === "https" || scheme === "http" ? withScheme(written, scheme) : written,
        weight: readWeight(weight),
        zone: readZone(zone),
        metadata,
      };
    },
    encode(instance) {
      const { authority, isSecure } = writtenAddress(instance);
      const { service, weight, zone, metadata } = instance;
      const all = {
        ...metadata,
        ...(weight === undefined ? {} : { weight }),
        ...(zone === undefined ? {} : { zone }),
        ...(isSecure ? { scheme: "https" } : {}),
      };
      const value = { Op: 0, Addr: authority, Metadata: Object.keys(all).length === 0 ? null : all };
      return { key: `${prefix}${service}/${authority}`, value: JSON.stringify(value) };
    },
  };
}

function withScheme(address: string, scheme: string): string {
  return address.includes("://") ? address : `${scheme}://${address}`;
}
