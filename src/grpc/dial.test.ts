/** Tests the address that grpc-js hands to `net.connect`: where it leads, and the signal that is in it. */
import { expect, it } from "vitest";
import { parseAddress } from "../core/address.ts";
import { Dial } from "./dial.ts";

function signalOf(dial: Dial): AbortSignal {
  const { signal } = { ...dial.address } as unknown as { readonly signal: AbortSignal };
  return signal;
}

it("is a host and port, or a path", () => {
  expect(new Dial(parseAddress("http://[::1]:50051")).address).toMatchObject({ host: "::1", port: 50_051 });
  const socket = new Dial(parseAddress("unix:/run/orders.sock")).address;
  expect(socket).toMatchObject({ path: "/run/orders.sock" });
  expect("port" in socket).toBe(false);
});

it("gives up the connection that is being made, and neither one that stands nor the next one", () => {
  const dial = new Dial(parseAddress("http://10.0.0.1:50051"));
  dial.begin();
  const standing = signalOf(dial);
  dial.connected();
  dial.begin();
  const hanging = signalOf(dial);
  dial.giveUp(new Error("too slow"));
  expect(standing.aborted).toBe(false);
  expect(hanging.aborted).toBe(true);
  dial.begin();
  expect(signalOf(dial).aborted).toBe(false);
});
