/** Tests of load reports in headers and trailers: what is written is read again, and nothing that comes in throws. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatLoadReport, type LoadReport, parseLoadReport } from "./load-report.ts";
import { decodeLoadReport, encodeLoadReport } from "./orca.ts";

const measure = fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
const report: fc.Arbitrary<LoadReport> = fc.record(
  {
    inflight: fc.nat(),
    cpuUtilization: measure,
    applicationUtilization: measure,
    memUtilization: measure,
    rps: measure,
    eps: measure,
  },
  { requiredKeys: [] },
);
const orNothing = (given: LoadReport): LoadReport | undefined =>
  Object.keys(given).length > 0 ? given : undefined;

describe("the header endpoint-load-metrics", () => {
  it("is read as ORCA's others write it", () => {
    expect(
      parseLoadReport("TEXT cpu_utilization=0.3,mem_utilization=0.8, named_metrics.inflight=12"),
    ).toEqual({
      cpuUtilization: 0.3,
      memUtilization: 0.8,
      inflight: 12,
    });
    expect(parseLoadReport("TEXT rps_fractional:10.5,eps:1,application_utilization:1.2")).toEqual({
      rps: 10.5,
      eps: 1,
      applicationUtilization: 1.2,
    });
    const snake = '{"cpu_utilization":0.3,"rps_fractional":10,"named_metrics":{"inflight":3,"kv":0.4}}';
    const camel = '{"cpuUtilization":0.3,"rpsFractional":10,"namedMetrics":{"inflight":3}}';
    for (const json of [snake, camel]) {
      expect(parseLoadReport(`JSON ${json}`)).toEqual({ cpuUtilization: 0.3, rps: 10, inflight: 3 });
    }
  });

  it("loses a bad item alone, and a bad whole", () => {
    const items =
      "cpu_utilization=,mem_utilization=-1,eps=x,rps_fractional=Infinity,=,,named_metrics.inflight=2";
    expect(parseLoadReport(`TEXT ${items}`)).toEqual({ inflight: 2 });
    expect(parseLoadReport('JSON {"cpu_utilization":"0.3","eps":2}')).toEqual({ eps: 2 });
    for (const useless of [
      "",
      "TEXT ",
      "TEXT a=1",
      "JSON {",
      "JSON null",
      "JSON 3",
      "cpu_utilization=1",
      3,
      ["TEXT eps=1"],
    ]) {
      expect(parseLoadReport(useless)).toBeUndefined();
    }
    expect(parseLoadReport(`TEXT eps=1,${"x".repeat(4_096)}`)).toBeUndefined();
  });

  it("says again what was written to it", () => {
    fc.assert(
      fc.property(report, (given) => {
        expect(parseLoadReport(formatLoadReport(given))).toEqual(orNothing(given));
      }),
    );
    expect(formatLoadReport({ inflight: Number.NaN, eps: -1 })).toBeUndefined();
  });

  it("never throws, and never gives a number that is none", () => {
    const names = fc.constantFrom("cpu_utilization", "eps", "named_metrics.inflight", "inflight", "");
    const pairs = fc
      .array(fc.tuple(names, fc.constantFrom("=", ":", ""), fc.string()))
      .map((all) => all.map((pair) => pair.join("")).join(","));
    fc.assert(
      fc.property(
        fc.constantFrom("TEXT ", "JSON ", ""),
        fc.oneof(fc.string(), fc.json(), pairs),
        (form, rest) => {
          for (const value of Object.values(parseLoadReport(form + rest) ?? {}))
            expect(value).toBeGreaterThanOrEqual(0);
        },
      ),
    );
  });
});

describe("the trailer endpoint-load-metrics-bin", () => {
  it("has the bytes that a protobuf compiler gives", () => {
    // protoc --encode of cpu_utilization: 0.25, rps: 300, named_metrics: { key: "inflight" value: 3 }, worked out by hand.
    const bytes = Buffer.from("09000000000000d03f18ac0242130a08696e666c69676874110000000000000840", "hex");
    expect(decodeLoadReport(bytes)).toEqual({ cpuUtilization: 0.25, rps: 300, inflight: 3 });
    const ours = Buffer.from("09000000000000d03f42130a08696e666c69676874110000000000000840", "hex");
    expect(encodeLoadReport({ inflight: 3, cpuUtilization: 0.25 })).toEqual(ours);
  });

  it("says again what was written to it", () => {
    fc.assert(
      fc.property(report, (given) => {
        expect(decodeLoadReport(encodeLoadReport(given))).toEqual(orNothing(given));
      }),
    );
  });

  it("skips what it does not know, and takes an entry without a value for 0", () => {
    // request_cost { key: "a" value: 1 }, a fixed32 and a varint of unknown fields, then named_metrics { key: "inflight" }.
    const cost = "220c0a016111000000000000f03f";
    const bytes = Buffer.from(`${cost}7d000000007801420a0a08696e666c69676874`, "hex");
    expect(decodeLoadReport(bytes)).toEqual({ inflight: 0 });
  });

  it("is nothing where it is damaged, and never throws", () => {
    const whole = encodeLoadReport({ inflight: 3, cpuUtilization: 0.25 });
    for (let length = 1; length < 9; length++)
      expect(decodeLoadReport(whole.subarray(0, length))).toBeUndefined();
    for (const damaged of ["0b", "ff", "ffffffffffffffffffffff01", "42ffffff7f", "0a"]) {
      expect(decodeLoadReport(Buffer.from(damaged, "hex"))).toBeUndefined();
    }
    expect(decodeLoadReport(Buffer.alloc(5_000))).toBeUndefined();
    const flipped = fc.tuple(report, fc.nat(200), fc.nat(255)).map(([given, at, byte]) => {
      const bytes = encodeLoadReport(given);
      bytes[at % Math.max(1, bytes.length)] = byte;
      return bytes;
    });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 64 }), flipped), (bytes) => {
        for (const value of Object.values(decodeLoadReport(bytes) ?? {}))
          expect(value).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 2_000 },
    );
  });
});
