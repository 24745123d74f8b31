/** Tests of what a failed call to etcd means. */
import { describe, expect, it } from "vitest";
import { EtcdError, failureOf } from "./failure.ts";

describe("failureOf", () => {
  it.each([
    ["connection", { code: 1, message: "1 CANCELLED: Cancelled on client" }],
    ["connection", { code: 4, message: "4 DEADLINE_EXCEEDED: Deadline exceeded" }],
    ["connection", { code: 13, message: "13 INTERNAL: Received RST_STREAM with code 2" }],
    ["connection", { code: 14, message: "14 UNAVAILABLE: etcdserver: no leader" }],
    ["token", { code: 16, message: "16 UNAUTHENTICATED: etcdserver: invalid auth token" }],
    ["token", { code: 3, message: "3 INVALID_ARGUMENT: etcdserver: user name is empty" }],
    ["denied", { code: 7, message: "7 PERMISSION_DENIED: etcdserver: permission denied" }],
    [
      "compacted",
      { code: 11, message: "11 OUT_OF_RANGE: etcdserver: mvcc: required revision has been compacted" },
    ],
    ["lease", { code: 5, message: "5 NOT_FOUND: etcdserver: requested lease not found" }],
    [
      "other",
      { code: 11, message: "11 OUT_OF_RANGE: etcdserver: mvcc: required revision is a future revision" },
    ],
    [
      "size",
      { code: 8, message: "8 RESOURCE_EXHAUSTED: Received message larger than max (70000000 vs 67108864)" },
    ],
    ["other", { code: 8, message: "8 RESOURCE_EXHAUSTED: etcdserver: too many requests" }],
    ["other", new Error("no code at all")],
    ["other", undefined],
    ["lease", new EtcdError("lease", "known")],
  ])("is %j for %o", (failure, error) => {
    expect(failureOf(error)).toBe(failure);
  });
});
