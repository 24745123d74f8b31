/** Tests of the options: what is understood, and how a mistake is named. */
import { describe, expect, it } from "vitest";
import { type EtcdOptions, resolveEtcdOptions } from "./options.ts";

const endpoints = "127.0.0.1:2379";

describe("resolveEtcdOptions", () => {
  it("fills in the defaults", () => {
    expect(resolveEtcdOptions({ endpoints })).toMatchObject({
      members: [endpoints],
      service: undefined,
      auth: undefined,
      tls: undefined,
      ttlSeconds: 15,
      connectMs: 3_000,
      requestMs: 5_000,
      backoffMaxMs: 5_000,
    });
  });

  it("takes members as host:port and as URLs", () => {
    const { members, tls } = resolveEtcdOptions({ endpoints: ["a:1", "http://b:2/", "c", "http://[::1]:4"] });
    expect(members).toEqual(["a:1", "b:2", "c:2379", "[::1]:4"]);
    expect(tls).toBeUndefined();
    expect(resolveEtcdOptions({ endpoints: "https://a" }).tls).toEqual({
      ca: null,
      cert: null,
      key: null,
      servername: undefined,
    });
    expect(resolveEtcdOptions({ endpoints: "a", tls: { ca: "pem" } }).tls?.ca).toEqual(Buffer.from("pem"));
  });

  it.each<[EtcdOptions, string]>([
    [{ endpoints: [] }, "etcd.endpoints must name at least one member"],
    [{ endpoints: "ftp://a" }, 'got "ftp://a"'],
    [{ endpoints: "http://user:secret@a:1" }, "etcd.endpoints must be host:port"],
    [{ endpoints: "a:70000" }, 'got "a:70000"'],
    [{ endpoints: ["http://a", "https://b"] }, "all http or all https"],
    [{ endpoints, ttlMs: 1_000 }, "etcd.ttlMs must be a number from 2000"],
    [{ endpoints, ttlMs: 2_500 }, "etcd.ttlMs must be whole seconds, got 2500"],
    [{ endpoints, auth: { username: "root" } as NonNullable<EtcdOptions["auth"]> }, "got no password"],
    [{ endpoints, tls: { key: "pem" } }, "etcd.tls must have cert and key or neither, got only key"],
    [{ endpoints, tls: { ca: 7 as unknown as string } }, "etcd.tls.ca must be PEM"],
    [
      { endpoints, prefix: "live/", format: { prefix: (service) => service, decode: () => undefined } },
      'etcd.prefix is for the formats that come along and for functions, got "live/" beside an object with prefix()',
    ],
    [{ endpoints, prefx: "a" } as EtcdOptions, 'did you mean "prefix"'],
  ])("refuses %j", (options, message) => {
    expect(() => resolveEtcdOptions(options)).toThrow(message);
  });

  it.each<[string, object]>([
    ["a member", { endpoints: "http://root:hunter2@a:1" }],
    ["a member without a scheme", { endpoints: "root:hunter2@a:1" }],
    ["a mistyped option", { endpoints, auth: { username: "root", pasword: "hunter2" } }],
    ["another type", { endpoints, auth: { username: ["hunter2"], password: "hunter2" } }],
    ["auth as a whole", { endpoints, auth: "root:hunter2" }],
    ["a mistyped key", { endpoints, tls: { kee: "hunter2" } }],
  ])("names no secret in what it says of a mistake: %s", (_, options) => {
    const message = messageOf(() => resolveEtcdOptions(options as EtcdOptions));
    expect(message).toContain("etcd.");
    expect(message).not.toContain("hunter2");
  });
});

function messageOf(throws: () => unknown): string {
  try {
    throws();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("it was taken");
}
