/** Tests of the formats: what is read of what Go services write, and what they are given to read. */
import { describe, expect, it } from "vitest";
import type { Instance } from "../../core/contracts.ts";
import type { EtcdFormat, FormatOptions } from "./format.ts";
import { formatOf } from "./formats.ts";

const instance: Instance = {
  service: "orders",
  id: "10.0.0.1:8080:4f1c",
  address: "http://10.0.0.1:8080",
  weight: 2,
  zone: "b",
  version: "1.2",
  metadata: { rack: 7 },
};

function format(name: unknown, options: Partial<FormatOptions> = {}): EtcdFormat {
  return formatOf(name, { prefix: undefined, protocol: "http", ...options });
}

const read = (name: string, value: unknown, options?: Partial<FormatOptions>): unknown =>
  format(name, options).decode(
    { key: "k", value: typeof value === "string" ? value : JSON.stringify(value) },
    "orders",
  );

function write(name: string, change: Partial<Instance> = {}, options?: Partial<FormatOptions>): unknown {
  const entry = format(name, options).encode?.({ ...instance, ...change }, "77");
  return { key: entry?.key, value: entry?.value.startsWith("{") ? JSON.parse(entry.value) : entry?.value };
}

describe('format "etcd"', () => {
  it("reads what Go's naming package writes", () => {
    expect(format("etcd").prefix("orders")).toBe("orders/");
    expect(read("etcd", { Op: 0, Addr: "10.0.0.1:8080", Metadata: null })).toEqual({
      address: "10.0.0.1:8080",
      metadata: {},
    });
    expect(
      read("etcd", { Addr: "10.0.0.1:8080", Metadata: { weight: "3", zone: "b", scheme: "https" } }),
    ).toEqual({
      address: "https://10.0.0.1:8080",
      weight: 3,
      zone: "b",
      metadata: { weight: "3", zone: "b", scheme: "https" },
    });
  });

  it("leaves it to others to judge a weight that is a number", () => {
    expect(read("etcd", { Addr: "a:1", Metadata: { weight: -1 } })).toMatchObject({ weight: -1 });
  });

  it("takes no weight from what is no number", () => {
    for (const weight of ["heavy", "", " ", null, {}, true]) {
      expect(read("etcd", { Addr: "a:1", Metadata: { weight } })).toMatchObject({ weight: undefined });
    }
  });

  it.each(["", "10.0.0.1:8080", "[]", "{}", '{"Addr":7}'])("refuses %j", (value) => {
    expect(() => read("etcd", value)).toThrow();
  });

  it("writes what Go's resolver can dial", () => {
    expect(write("etcd")).toEqual({
      key: "orders/10.0.0.1:8080",
      value: { Op: 0, Addr: "10.0.0.1:8080", Metadata: { rack: 7, weight: 2, zone: "b" } },
    });
    const bare = { weight: undefined, zone: undefined, metadata: undefined };
    expect(write("etcd", { ...bare, address: "https://[::1]:443" }, { prefix: "prod/" })).toEqual({
      key: "prod/orders/[::1]:443",
      value: { Op: 0, Addr: "[::1]:443", Metadata: { scheme: "https" } },
    });
    expect(write("etcd", { ...bare, address: "grpc://10.0.0.1:9000" })).toEqual({
      key: "orders/10.0.0.1:9000",
      value: { Op: 0, Addr: "10.0.0.1:9000", Metadata: null },
    });
  });

  it("has no place for a socket's path", () => {
    expect(() => write("etcd", { address: "unix:/run/orders.sock" })).toThrow(RangeError);
  });
});

describe('format "kratos"', () => {
  const written = {
    id: "one",
    name: "orders",
    version: "v1",
    metadata: { weight: "3" },
    endpoints: ["grpc://10.0.0.1:9000", "http://10.0.0.1:8000"],
  };

  it("reads the endpoint of the caller's protocol", () => {
    expect(format("kratos").prefix("orders")).toBe("/microservices/orders/");
    expect(read("kratos", written)).toEqual({
      address: "http://10.0.0.1:8000",
      weight: 3,
      zone: undefined,
      metadata: { weight: "3", id: "one", version: "v1" },
    });
    expect(read("kratos", written, { protocol: "grpc" })).toMatchObject({ address: "http://10.0.0.1:9000" });
  });

  it.each([
    ["https://10.0.0.1:8000", "https://10.0.0.1:8000"],
    ["http://10.0.0.1:8000?isSecure=true", "https://10.0.0.1:8000"],
    ["http://10.0.0.1:8000/?isSecure=false", "http://10.0.0.1:8000"],
  ])("reads %s as %s", (endpoint, address) => {
    expect(read("kratos", { ...written, endpoints: [endpoint] })).toMatchObject({ address });
  });

  it("leaves out another service, and refuses an instance without such an endpoint", () => {
    expect(read("kratos", { ...written, name: "orders/old" })).toBeUndefined();
    expect(() => read("kratos", { ...written, endpoints: ["grpc://10.0.0.1:9000"] })).toThrow(
      "no http endpoint",
    );
    expect(() => read("kratos", { ...written, endpoints: null })).toThrow("no endpoints");
  });

  it("gives an instance without a weight, or with a broken one, what Kratos gives it", () => {
    const weights = [null, {}, { weight: "2.5" }, { weight: "heavy" }, { weight: "0" }].map(
      (metadata) => (read("kratos", { ...written, metadata }) as { weight: number }).weight,
    );
    expect(weights).toEqual([100, 100, 100, 100, 0]);
  });

  it("writes weights as whole numbers, of which only 0 drains", () => {
    const weights = [undefined, 0, 0.2, 2.6].map(
      (weight) =>
        (write("kratos", { weight }) as { value: { metadata: { weight?: string } } }).value.metadata.weight,
    );
    expect(weights).toEqual([undefined, "0", "1", "3"]);
  });

  it("writes what Kratos reads, metadata as texts", () => {
    expect(write("kratos")).toEqual({
      key: "/microservices/orders/10.0.0.1:8080:4f1c",
      value: {
        id: "10.0.0.1:8080:4f1c",
        name: "orders",
        version: "1.2",
        metadata: { rack: "7", weight: "2", zone: "b" },
        endpoints: ["http://10.0.0.1:8080"],
      },
    });
    expect(write("kratos", { address: "https://10.0.0.1:9000" }, { protocol: "grpc" })).toMatchObject({
      value: { endpoints: ["grpcs://10.0.0.1:9000"] },
    });
  });
});

describe('format "kitex"', () => {
  it("reads what Kitex writes; no weight, and less than one, is ten", () => {
    expect(format("kitex").prefix("orders")).toBe("kitex/registry-etcd/orders/");
    const written = { network: "tcp", address: "10.0.0.1:8888", weight: 20, tags: { zone: "b" } };
    expect(read("kitex", written)).toEqual({
      address: "10.0.0.1:8888",
      weight: 20,
      zone: "b",
      metadata: { zone: "b" },
    });
    expect(read("kitex", { ...written, weight: 0, tags: null })).toMatchObject({ weight: 10, metadata: {} });
    expect(read("kitex", { network: "unix", address: "/run/a.sock" })).toMatchObject({
      address: "unix:/run/a.sock",
    });
  });

  it("writes what Kitex reads", () => {
    expect(write("kitex", { weight: 2.6 })).toEqual({
      key: "kitex/registry-etcd/orders/10.0.0.1:8080",
      value: { network: "tcp", address: "10.0.0.1:8080", weight: 3, tags: { rack: "7", zone: "b" } },
    });
    expect(write("kitex", { weight: undefined })).toMatchObject({ value: { weight: 10 } });
    expect(() => write("kitex", { weight: 0 })).toThrow("cannot say weight 0");
  });
});

describe('format "go-zero"', () => {
  it("is an address as plain text, under the id of the lease", () => {
    expect(format("go-zero").prefix("orders.rpc")).toBe("orders.rpc/");
    expect(read("go-zero", "10.0.0.1:8080")).toEqual({ address: "10.0.0.1:8080" });
    expect(() => read("go-zero", "not an address")).toThrow();
    expect(write("go-zero")).toEqual({ key: "orders/77", value: "10.0.0.1:8080" });
  });
});

describe("a format of one's own", () => {
  it("is a function that reads, or an object", () => {
    const address = { address: "http://a" };
    const own = format(() => address, { prefix: "x/" });
    expect([own.prefix("orders"), own.decode({ key: "k", value: "v" }, "orders"), own.encode]).toEqual([
      "x/orders/",
      address,
      undefined,
    ]);
    expect(format(own)).toBe(own);
  });

  it.each(["eureka", 7, {}, { prefix: () => "a" }])("refuses %j", (wrong) => {
    expect(() => format(wrong)).toThrow(/^etcd\.format must be "etcd", "kratos", "kitex", "go-zero"/);
  });
});
