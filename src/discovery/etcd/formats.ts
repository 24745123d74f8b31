/** The formats by their names, and what the option `format` may be besides. */
import { show } from "../../core/option-reader.ts";
import { etcdFormat } from "./etcd-format.ts";
import type { EtcdDecode, EtcdFormat, FormatOptions } from "./format.ts";
import { goZeroFormat } from "./go-zero-format.ts";
import { kitexFormat } from "./kitex-format.ts";
import { kratosFormat } from "./kratos-format.ts";

/** The formats that come along. */
export type EtcdFormatName = "etcd" | "kratos" | "kitex" | "go-zero";

const formats: Readonly<Record<EtcdFormatName, (options: FormatOptions) => EtcdFormat>> = {
  etcd: etcdFormat,
  kratos: kratosFormat,
  kitex: kitexFormat,
  "go-zero": goZeroFormat,
};

/** @throws TypeError for what is no format, and for a prefix beside one that has its own. */
export function formatOf(format: unknown, options: FormatOptions): EtcdFormat {
  if (typeof format === "string" && Object.hasOwn(formats, format)) {
    return formats[format as EtcdFormatName](options);
  }
  if (typeof format === "function") {
    return {
      prefix: (service) => `${options.prefix ?? ""}${service}/`,
      decode: format as EtcdDecode,
    };
  }
  const { prefix, decode, encode } = (format ?? {}) as Partial<EtcdFormat>;
  const isFormat =
    typeof prefix === "function" &&
    typeof decode === "function" &&
    (encode === undefined || typeof encode === "function");
  if (isFormat && options.prefix !== undefined) {
    throw new TypeError(
      `etcd.prefix is for the formats that come along and for functions, got ${show(options.prefix)} beside an object ` +
        "with prefix()",
    );
  }
  if (isFormat) return format as EtcdFormat;
  const names = Object.keys(formats).map((name) => `"${name}"`);
  throw new TypeError(
    `etcd.format must be ${names.join(", ")}, a function, or an object with prefix(), decode() and perhaps encode(), ` +
      `got ${show(format)}`,
  );
}
