/** Tests of the options of `dns()`; what it does is tested beside its parts, and against a real server in test/. */
import { describe, expect, it } from "vitest";
import { type DnsOptions, resolveDnsOptions } from "./dns/options.ts";
import { dns } from "./dns.ts";

describe("the options of dns()", () => {
  it.each<readonly [DnsOptions, RegExp]>([
    [{ port: 0 }, /dns\.port must be an integer from 1 to 65535, got 0/],
    [{ type: "MX" as "A" }, /dns\.type must be "A" or "AAAA" or "SRV", got "MX"/],
    [{ type: "SRV", port: 80 }, /dns\.port is told by SRV records themselves, got 80/],
    [{ resolveTargets: false }, /dns\.resolveTargets is for type "SRV" only/],
    [{ name: "http://orders" }, /dns\.name must be a full DNS name/],
    [{ name: "a..b" }, /dns\.name must be/],
    [{ name: `${"a".repeat(64)}.test` }, /dns\.name must be/],
    [{ servers: [] }, /dns\.servers must be an array of at least one/],
    [{ servers: ["ns.test"] }, /dns\.servers\[0\] must be an IP address.*got "ns\.test"/],
    [{ servers: ["10.0.0.1:99999"] }, /dns\.servers\[0\]/],
    [{ servers: ["2001:db8::1:53:x"] }, /dns\.servers\[0\]/],
    [{ minRefreshMs: 0 }, /dns\.minRefreshMs/],
    [{ minRefreshMs: 5_000, maxRefreshMs: 4_000 }, /dns\.maxRefreshMs/],
    [{ clearAfter: 0 }, /dns\.clearAfter/],
    [{ tries: 1.5 }, /dns\.tries/],
    [{ timeout: 5 } as DnsOptions, /unknown option dns\.timeout \(5\); did you mean "timeoutMs"/],
  ])("refuse %o", (options, message) => {
    expect(() => dns(options)).toThrow(message);
  });

  it("take addresses of servers in every spelling, and have their defaults in one place", () => {
    const servers = ["10.0.0.2", "10.0.0.2:5353", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:5353"];
    expect(resolveDnsOptions({ servers }).servers).toEqual(servers);
    expect(resolveDnsOptions({})).toMatchObject({ type: "A", minRefreshMs: 1_000, maxRefreshMs: 30_000 });
    expect(resolveDnsOptions({ type: "SRV" }).minRefreshMs).toBe(5_000);
    expect(resolveDnsOptions({ minRefreshMs: 60_000 }).maxRefreshMs).toBe(60_000);
  });
});
