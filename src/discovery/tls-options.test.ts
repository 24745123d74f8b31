/** Tests of reading the option `tls`. */
import { describe, expect, it } from "vitest";
import { OptionReader } from "../core/option-reader.ts";
import { readTls } from "./tls-options.ts";

const read = (given: unknown) => readTls(new OptionReader(given, "tls"));

describe("readTls", () => {
  it("takes nothing at all, and a name alone", () => {
    expect(read({})).toEqual({});
    expect(read({ servername: "consul.example" })).toEqual({ servername: "consul.example" });
  });

  it.each([
    [{ ca: 1 }, "tls.ca must be PEM"],
    [{ key: "-----BEGIN PRIVATE KEY-----" }, "got only key"],
    [{ cert: "-----BEGIN CERTIFICATE-----" }, "got only cert"],
    [{ cert: "s3cr3t", key: "s3cr3t" }, "tls cannot be used"],
    [{ servername: "" }, "tls.servername"],
    [{ certificate: "x" }, "tls.certificate"],
  ])("refuses %j", (given, message) => {
    expect(() => read(given)).toThrow(message);
    expect(() => read(given)).not.toThrow("s3cr3t");
  });
});
