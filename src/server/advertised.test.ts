/** Tests of the address that a server is announced under. */
import type { NetworkInterfaceInfo } from "node:os";
import { describe, expect, it } from "vitest";
import { advertisedAddress, checkAdvertised } from "./advertised.ts";

const on = (address: string, internal = false): NetworkInterfaceInfo =>
  ({ address, internal, family: address.includes(":") ? "IPv6" : "IPv4" }) as NetworkInterfaceInfo;
const loopback = [on("127.0.0.1", true), on("::1", true)];
const plain = { scheme: "http", host: undefined } as const;
const bound = (address: string) => ({ address, port: 8080, family: address.includes(":") ? "IPv6" : "IPv4" });

describe("the advertised address", () => {
  it("is the one that is bound", () => {
    expect(advertisedAddress(bound("10.0.0.1"), plain, {})).toBe("http://10.0.0.1:8080");
    expect(advertisedAddress(bound("127.0.0.1"), plain, { eth0: [on("10.0.0.1")] })).toBe(
      "http://127.0.0.1:8080",
    );
    expect(advertisedAddress(bound("2001:db8::1"), { ...plain, scheme: "https" }, {})).toBe(
      "https://[2001:db8::1]:8080",
    );
    expect(advertisedAddress("/run/orders.sock", plain, {})).toBe("unix:/run/orders.sock");
  });

  it("is the first that is not internal for a server on all interfaces, IPv4 first, and never link-local", () => {
    const interfaces = {
      lo: loopback,
      eth0: [on("fe80::1"), on("169.254.1.1"), on("2001:db8::7"), on("10.0.0.7")],
      eth1: [on("10.0.0.8")],
      gone: undefined,
    };
    for (const all of ["0.0.0.0", "::"]) {
      expect(advertisedAddress(bound(all), plain, interfaces)).toBe("http://10.0.0.7:8080");
    }
    const onlySix = { lo: loopback, eth0: [on("2001:db8::7")] };
    expect(advertisedAddress(bound("::"), plain, onlySix)).toBe("http://[2001:db8::7]:8080");
    // It does not take IPv6 connections.
    expect(advertisedAddress(bound("0.0.0.0"), plain, onlySix)).toBe("http://127.0.0.1:8080");
    expect(advertisedAddress(bound("::"), plain, { lo: loopback })).toBe("http://127.0.0.1:8080");
  });

  it("takes the host that it is told, and refuses one that means all interfaces", () => {
    expect(advertisedAddress(bound("0.0.0.0"), { ...plain, host: "orders-1.internal" }, {})).toBe(
      "http://orders-1.internal:8080",
    );
    for (const host of ["2001:db8::1", "[2001:db8::1]"]) {
      expect(advertisedAddress(bound("::"), { ...plain, host }, {})).toBe("http://[2001:db8::1]:8080");
    }
    for (const address of ["http://0.0.0.0:80", "[::]:80", "http://[::ffff:0.0.0.0]:80"]) {
      expect(() => checkAdvertised(address, "address")).toThrow(/register\.address .* all interfaces/);
    }
  });
});
