/** Tests of how Consul's answers become endpoints, and instances become registrations. */
import { describe, expect, it } from "vitest";
import { parseAddress } from "../../core/address.ts";
import { endpointsOf } from "./entries.ts";
import { resolveConsulOptions } from "./options.ts";
import { serviceDefinition } from "./service-definition.ts";

const plain = { format: "consul", protocol: "http", passingOnly: true } as const;
const kratos = { ...plain, format: "kratos" } as const;
const node = { Node: "n1", Address: "10.0.0.9" };

describe("endpointsOf", () => {
  it("takes the service's address, or that of its node", () => {
    const services = [
      { Address: "10.0.0.1", Port: 8080 },
      { Address: "", Port: 8080 },
      { Address: "fd00::1", Port: 8080 },
      { Address: "10.0.0.2", Port: 8443, Meta: { secure: "true" } },
    ];
    const entries = services.map((Service) => ({ Node: node, Service, Checks: [] }));
    expect(endpointsOf(entries, plain).map(({ address }) => address)).toEqual([
      "10.0.0.1:8080",
      "10.0.0.9:8080",
      "[fd00::1]:8080",
      "https://10.0.0.2:8443",
    ]);
  });

  it("takes the weight for the worst of the checks, and no critical instance", () => {
    const entries = [["passing"], ["passing", "warning"], ["warning", "critical"], ["maintenance"], []].map(
      (statuses, at) => ({
        Node: node,
        Service: { Address: "10.0.0.1", Port: at + 1, Weights: { Passing: 10, Warning: 2 } },
        Checks: statuses.map((Status) => ({ Status })),
      }),
    );
    const weights = (passingOnly: boolean): unknown =>
      endpointsOf(entries, { ...plain, passingOnly }).map(({ address, weight }) => [address, weight]);
    expect(weights(true)).toEqual([
      ["10.0.0.1:1", 10],
      ["10.0.0.1:5", 10],
    ]);
    expect(weights(false)).toEqual([
      ["10.0.0.1:1", 10],
      ["10.0.0.1:2", 2],
      ["10.0.0.1:5", 10],
    ]);
  });

  it("tells zone and metadata, those of the service first", () => {
    const Service = {
      ID: "a",
      Address: "10.0.0.1",
      Port: 1,
      Tags: ["blue"],
      Meta: { zone: "b", tier: "gold" },
    };
    const inLocality = { ...Service, Meta: null, Locality: { Region: "eu", Zone: "eu-1" } };
    const onNode = { ...Service, Meta: {} };
    const entries = [Service, inLocality, onNode].map((one) => ({
      Node: { ...node, Meta: { zone: "rack-7" } },
      Service: one,
      Checks: [],
    }));
    const endpoints = endpointsOf(entries, plain);
    expect(endpoints.map(({ zone }) => zone)).toEqual(["b", "eu-1", "rack-7"]);
    expect(endpoints[0]?.metadata).toEqual({ id: "a", node: "n1", tags: ["blue"], zone: "b", tier: "gold" });
  });

  it("passes on what is no address, for the guard to refuse by name", () => {
    const entries = [null, {}, { Service: { Address: "10.0.0.1" } }, { Node: node, Service: { Port: 0 } }];
    for (const { address } of endpointsOf(entries, plain))
      expect(() => parseAddress(address)).toThrow(RangeError);
    expect(endpointsOf(entries, plain)).toHaveLength(4);
    expect(() => endpointsOf({ error: "x" }, plain)).toThrow("not an array");
  });

  it("reads Kratos' tagged addresses by protocol", () => {
    const tagged = (addresses: Readonly<Record<string, string>>, more: object = {}): unknown => ({
      Node: node,
      Checks: [],
      Service: {
        Address: "10.0.0.1",
        Port: 8000,
        Tags: ["version=v1.2"],
        TaggedAddresses: Object.fromEntries(
          Object.entries(addresses).map(([tag, Address]) => [tag, { Address, Port: 1 }]),
        ),
        ...more,
      },
    });
    const entries = [
      tagged({ lan_ipv4: "10.0.0.1", http: "http://10.0.0.1:8000", grpc: "grpc://10.0.0.1:9000" }),
      tagged({ wan_ipv4: "1.2.3.4", https: "https://10.0.0.2:8000", grpcs: "grpcs://10.0.0.2:9000" }),
      tagged({ http: "http://10.0.0.3:8000?isSecure=true", grpc: "grpc://10.0.0.3:9000?isSecure=true" }),
      tagged({ lan_ipv4: "10.0.0.1" }),
    ];
    const read = (protocol: "http" | "grpc") =>
      endpointsOf(entries, { ...kratos, protocol }).map(({ address }) => address);
    expect(read("http")).toEqual([
      "http://10.0.0.1:8000",
      "https://10.0.0.2:8000",
      "https://10.0.0.3:8000",
      "10.0.0.1:8000",
    ]);
    expect(read("grpc")).toEqual([
      "http://10.0.0.1:9000",
      "https://10.0.0.2:9000",
      "https://10.0.0.3:9000",
      "10.0.0.1:8000",
    ]);
    expect(endpointsOf(entries, kratos)[0]?.metadata?.version).toBe("v1.2");
    const grpcOnly = [tagged({ grpc: "grpc://10.0.0.1:9000" })];
    expect(endpointsOf(grpcOnly, kratos)[0]?.address).toBe("grpc://10.0.0.1:9000");
    const weights = [{}, { Meta: { weight: "30" } }, { Meta: { weight: "x" } }].map((more) =>
      tagged({}, more),
    );
    expect(endpointsOf(weights, kratos).map(({ weight }) => weight)).toEqual([100, 30, 100]);
  });

  it.each(["consul", "kratos"] as const)(
    "reads good entries beside those that make no sense (%s)",
    (format) => {
      const good = { Service: { Address: "10.0.0.1", Port: 80, Tags: ["a"] }, Checks: [] };
      const bad = [
        null,
        7,
        [],
        { Service: "x", Node: 1, Checks: {} },
        { Service: { Address: 1, Port: "x", Tags: "version=1", Meta: "m", Weights: 1, TaggedAddresses: 3 } },
        {
          Service: { Tags: { length: 1 }, Meta: [1], TaggedAddresses: { http: 1, grpc: null } },
          Checks: [null],
        },
        { Service: { Tags: 5, Locality: "z" }, Node: { Meta: 1, Address: { toString: 1 } }, Checks: null },
      ];
      const read = endpointsOf([...bad, good], resolveConsulOptions({ format }));
      expect(read.filter(({ address }) => address === "10.0.0.1:80")).toHaveLength(1);
    },
  );
});

describe("serviceDefinition", () => {
  const instance = { service: "orders", id: "orders:1", address: "https://10.0.0.1:8443" };

  it("writes what endpointsOf reads", () => {
    for (const weight of [undefined, 1, 3, 0, 0.5, 100_000]) {
      for (const format of ["consul", "kratos"] as const) {
        const options = resolveConsulOptions({ format, tag: "blue" });
        const metadata = { tier: "gold", cores: 4 };
        const definition = serviceDefinition(
          { ...instance, zone: "b", version: "v2", metadata, ...(weight === undefined ? {} : { weight }) },
          options,
        );
        const { Check, ...Service } = definition;
        const [endpoint] = endpointsOf([{ Node: node, Service, Checks: [Check] }], options);
        expect(endpoint).toMatchObject({
          address: "https://10.0.0.1:8443",
          // Kratos knows whole weights only, and gives 100 to what has none.
          weight: format === "kratos" ? (weight === 0.5 ? 1 : (weight ?? 100)) : (weight ?? 1),
          zone: "b",
          metadata: { tier: "gold", cores: "4", version: "v2" },
        });
        expect(definition.Tags).toContain("blue");
        expect(
          Number((definition.Weights as { Passing?: number } | undefined)?.Passing ?? 1),
        ).toBeGreaterThan(0);
      }
    }
  });

  it("lets the instance's own weight and scheme go before what its metadata say", () => {
    for (const format of ["consul", "kratos"] as const) {
      const options = resolveConsulOptions({ format });
      const metadata = { weight: "7", secure: "true" };
      const given = { ...instance, address: "http://10.0.0.1:8080", weight: 3, metadata };
      const { Check, ...Service } = serviceDefinition(given, options);
      const [endpoint] = endpointsOf([{ Node: node, Service, Checks: [Check] }], options);
      expect(endpoint).toMatchObject({ weight: 3 });
      expect(endpoint?.address).not.toContain("https:");
    }
  });

  it.each([
    [{ "a.b": "1" }, 'the key "a.b"'],
    [{ "": "1" }, 'the key ""'],
    [{ "consul-x": "1" }, 'the key "consul-x"'],
    [{ ["k".repeat(129)]: "1" }, "the key"],
    [{ k: "ü".repeat(257) }, '514 bytes under "k"'],
    [Object.fromEntries(Array.from({ length: 65 }, (_, number) => [`k${number}`, "1"])), "66 keys"],
  ])("refuses metadata that Consul would refuse each time", (metadata, message) => {
    const define = (): unknown => serviceDefinition({ ...instance, metadata }, resolveConsulOptions({}));
    expect(define).toThrow(RangeError);
    expect(define).toThrow(message);
  });

  it("brings a TTL check that passes from the start", () => {
    const options = resolveConsulOptions({ ttlMs: 9_000, deregisterAfterMs: 90_000 });
    expect(serviceDefinition(instance, options).Check).toEqual({
      CheckID: "service:orders:1",
      Name: "heartbeat",
      TTL: "9000ms",
      Status: "passing",
      DeregisterCriticalServiceAfter: "90000ms",
    });
  });

  it("writes the URL that Kratos reads", () => {
    const options = resolveConsulOptions({ format: "kratos", protocol: "grpc" });
    const definition = serviceDefinition(
      { ...instance, address: "grpc://[fd00::1]:9000", version: "v1" },
      options,
    );
    expect(definition).toMatchObject({
      Address: "fd00::1",
      Port: 9000,
      Tags: ["version=v1"],
      TaggedAddresses: { grpc: { Address: "grpc://[fd00::1]:9000", Port: 9000 } },
    });
  });
});

describe("resolveConsulOptions", () => {
  it.each([
    [{ address: "ftp://x" }, RangeError, "address"],
    [{ tag: [""] }, TypeError, "tag"],
    [{ token: 1 }, TypeError, "token"],
    [{ waitMs: 1 }, RangeError, "waitMs"],
    [{ ttlMs: 10 }, RangeError, "ttlMs"],
    [{ deregisterAfterMs: 1_000 }, RangeError, "deregisterAfterMs"],
    [{ format: "kratoz" }, RangeError, "format"],
    [{ tls: { ca: 1 } }, TypeError, "tls.ca"],
    [{ datacenter: "x" }, TypeError, "datacenter"],
    [{ dispatcher: {} }, TypeError, "dispatcher"],
  ])("refuses %j", (options, kind, name) => {
    const resolve = (): unknown =>
      resolveConsulOptions(options as Parameters<typeof resolveConsulOptions>[0]);
    expect(resolve).toThrow(kind);
    expect(resolve).toThrow(name);
  });

  it("names no token in its errors", () => {
    const bad = { token: { secret: "s3cr3t" } } as unknown as Parameters<typeof resolveConsulOptions>[0];
    expect(() => resolveConsulOptions(bad)).toThrow(/^(?!.*s3cr3t)/);
  });
});
