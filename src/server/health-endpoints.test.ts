/** Tests of which requests ask for health, and of what they are told. */
import { expect, it } from "vitest";
import { healthAnswer } from "./health-endpoints.ts";

const paths = { live: "/livez", ready: "/readyz" };

it("answers for its paths only, with and without a query", () => {
  for (const url of ["/livez", "/livez?verbose", "/readyz"]) {
    for (const method of ["GET", "HEAD"]) expect(healthAnswer(paths, method, url, false)?.status).toBe(200);
    expect(healthAnswer(paths, "POST", url, false)).toBeUndefined();
  }
  for (const url of ["/", "/livezz", "/livez/x", "/x/livez", undefined]) {
    expect(healthAnswer(paths, "GET", url, false)).toBeUndefined();
  }
  expect(healthAnswer(undefined, "GET", "/livez", false)).toBeUndefined();
});

it("is ready until it drains, and alive throughout", () => {
  expect(healthAnswer(paths, "GET", "/readyz", true)?.status).toBe(503);
  expect(healthAnswer(paths, "GET", "/livez", true)?.status).toBe(200);
});
