/** Tests which methodConfig of a service config holds for a method. */
import { expect, it } from "vitest";
import { ConfiguredMethods } from "./method-config.ts";

it("takes the most specific name, and reads durations", () => {
  const configured = new ConfiguredMethods(
    JSON.stringify({
      methodConfig: [
        { name: [{}], timeout: "3s" },
        { name: [{ service: "shop.Orders" }], timeout: "1.5s" },
        { name: [{ service: "shop.Orders", method: "Get" }], waitForReady: true },
      ],
      retryThrottling: { maxTokens: 10, tokenRatio: 0.1 },
    }),
  );
  expect(configured.of("/shop.Orders/Get")).toMatchObject({ waitForReady: true });
  expect(configured.of("/shop.Orders/Put")?.timeout).toEqual({ seconds: 1, nanos: 500_000_000 });
  expect(configured.of("/shop.Users/Get")?.timeout).toEqual({ seconds: 3, nanos: 0 });
  expect(configured.of("/shop.Users/Get")).toBe(configured.of("/shop.Users/Get"));
  expect(configured.throttling).toEqual({ retryThrottling: { maxTokens: 10, tokenRatio: 0.1 } });
});

it("leaves methods that no name fits, and channels without a config, to us", () => {
  const named = new ConfiguredMethods(JSON.stringify({ methodConfig: [{ name: [{ service: "a.B" }] }] }));
  expect(named.of("/shop.Orders/Get")).toBeUndefined();
  expect(named.of("/shop.Orders/Get")).toBeUndefined();
  expect(new ConfiguredMethods(undefined).of("/a.B/C")).toBeUndefined();
  expect(new ConfiguredMethods(undefined).throttling).toEqual({});
});
