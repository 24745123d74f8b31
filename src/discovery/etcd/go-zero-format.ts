/**
 * The format of go-zero: the key is `<service>/<id of the lease>`, the value `10.0.0.1:8080`, nothing else.
 *
 * It has no place for weight, zone and metadata; they are lost on the way.
 */
import { parseAddress } from "../../core/address.ts";
import type { Endpoint } from "../../core/endpoint.ts";
import type { EtcdFormat, FormatOptions } from "./format.ts";
import { writtenAddress } from "./written-address.ts";

export function goZeroFormat({ prefix = "" }: FormatOptions): EtcdFormat {
  return {
    prefix: (service) => `${prefix}${service}/`,
    decode({ value }): Endpoint {
      // Anything is text: that it is an address is all there is to check.
      parseAddress(value);
      return { address: value };
    },
    encode(instance, lease) {
      return { key: `${prefix}${instance.service}/${lease}`, value: writtenAddress(instance).authority };
    },
  };
}
