/** Tests what httpCheck and tcpCheck take as options, and what they say of the rest. */
import { describe, expect, it } from "vitest";
import { type HttpCheckOptions, httpCheck } from "./http-check.ts";
import { tcpCheck } from "./tcp-check.ts";

describe("httpCheck", () => {
  it("needs a path and takes everything else from its defaults", () => {
    expect(httpCheck({ path: "/health" })).toMatchObject({ name: "httpCheck" });
  });

  it("takes every option", () => {
    const check = httpCheck({
      path: "/health?deep=1",
      intervalMs: 1_000,
      timeoutMs: 100,
      rise: 1,
      fall: 1,
      statuses: [204, [200, 203]],
      method: "HEAD",
      headers: { "X-Probe": "evenkeel", host: "orders.internal" },
      jitter: 0,
      connection: "shared",
    });
    expect(check.name).toBe("httpCheck");
  });

  it.each<[string, object, string]>([
    ["no path", {}, 'httpCheck.path must be given: what to ask the nodes for, as "/health"'],
    ["a path that is none", { path: "health" }, 'httpCheck.path must begin with "/"'],
    ["a path with a space", { path: "/a b" }, 'httpCheck.path must begin with "/" and hold neither spaces'],
    ["a path with a line break", { path: "/a\r\nx: y" }, "httpCheck.path must begin"],
    ["a fragment", { path: "/a#b" }, "httpCheck.path must begin"],
    [
      "a tunnel",
      { path: "/", method: "CONNECT" },
      'httpCheck.method must be a method in capitals other than CONNECT, got "CONNECT"',
    ],
    ["a method in small letters", { path: "/", method: "get" }, "httpCheck.method must be"],
    [
      "headers that are none",
      { path: "/", headers: ["a"] },
      "httpCheck.headers must be an object, got an array of 1",
    ],
    [
      "a header that is a number",
      { path: "/", headers: { "x-a": 1 } },
      "httpCheck.headers.x-a must be a string, got number",
    ],
    [
      "a header name with a colon",
      { path: "/", headers: { "x:a": "1" } },
      "httpCheck.headers.x:a is no valid header",
    ],
    [
      "a header value with a line break",
      { path: "/", headers: { "x-a": "1\r\nb: c" } },
      "httpCheck.headers.x-a is no valid header",
    ],
    [
      "a header that frames the message",
      { path: "/", headers: { Connection: "x" } },
      "httpCheck.headers.Connection must not be given",
    ],
    ["no status", { path: "/", statuses: [] }, "httpCheck.statuses must name at least one status"],
    [
      "a status that is none",
      { path: "/", statuses: [200, 700] },
      "httpCheck.statuses[1] must be a status from 200 to 599, or [from, to], got 700",
    ],
    [
      "a range that is turned around",
      { path: "/", statuses: [[299, 200]] },
      "httpCheck.statuses[0] must be a status",
    ],
    ["an interval of 0", { path: "/", intervalMs: 0 }, "httpCheck.intervalMs must be a number from 1"],
    ["a rise of 0", { path: "/", rise: 0 }, "httpCheck.rise must be an integer of at least 1, got 0"],
    [
      "a jitter above 1",
      { path: "/", jitter: 1.5 },
      "httpCheck.jitter must be a number from 0 to 1, got 1.5",
    ],
    [
      "another word",
      { path: "/", connection: "pool" },
      'httpCheck.connection must be "own" or "shared", got "pool"',
    ],
    [
      "an unknown option",
      { path: "/", interval: 5 },
      'unknown option httpCheck.interval (5); did you mean "intervalMs"?',
    ],
  ])("refuses %s", (_, options, message) => {
    expect(() => httpCheck(options as HttpCheckOptions)).toThrow(message);
  });
});

describe("tcpCheck", () => {
  it("has defaults for all options, and refuses unknown ones", () => {
    expect(tcpCheck().name).toBe("tcpCheck");
    expect(tcpCheck({ intervalMs: 100, timeoutMs: 50, rise: 1, fall: 1, jitter: 0 }).name).toBe("tcpCheck");
    expect(() => tcpCheck({ path: "/" } as object)).toThrow("unknown option tcpCheck.path");
    expect(() => tcpCheck({ timeoutMs: -1 })).toThrow("tcpCheck.timeoutMs must be a number from 1");
  });
});
