/** Tests of key ranges: what begins with a prefix, and which key is next. */
import { expect, it } from "vitest";
import { keyAfter, rangeOf } from "./key-range.ts";

it("holds what begins with the prefix and nothing else", () => {
  const { key, rangeEnd } = rangeOf("orders/é");
  const isWithin = (text: string): boolean => {
    const other = Buffer.from(text);
    return other.compare(key) >= 0 && other.compare(rangeEnd) < 0;
  };
  expect(["orders/é", "orders/éa", "orders/é\u{10ffff}"].map(isWithin)).toEqual([true, true, true]);
  expect(["orders/", "orders/ê", "orders0", "orders/è~", ""].map(isWithin)).toEqual([
    false,
    false,
    false,
    false,
    false,
  ]);
});

it.each(["", undefined])("refuses the prefix %j, which would mean the whole store or nothing", (prefix) => {
  expect(() => rangeOf(prefix as string)).toThrow(
    "a service's keys in etcd must begin with a non-empty string",
  );
});

it("finds the least key after one", () => {
  expect(keyAfter(Buffer.from("a"))).toEqual(Buffer.from("a\0"));
});
