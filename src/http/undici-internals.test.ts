/** Holds undici to what is taken from inside its Client: whoever updates it sees here first that something has moved. */
import { EventEmitter } from "node:events";
import { Client, type Dispatcher } from "undici";
import { describe, expect, it } from "vitest";
import { connectNow, freeze } from "./undici-internals.ts";

function createClient(onConnect: () => void): Client {
  return new Client("http://127.0.0.1:1", { connect: () => onConnect() });
}

describe("connectNow", () => {
  it("makes a Client ask for its socket without a request", () => {
    let asked = 0;
    const client = createClient(() => asked++);
    expect(connectNow(client, undefined)).toBe(true);
    expect(asked).toBe(1);
  });
});

describe("freeze", () => {
  it("ends what waits in a Client's queue, and what comes into it later", () => {
    const client = createClient(() => {});
    const errors: Error[] = [];
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart() {},
      onResponseStart() {},
      onResponseData() {},
      onResponseEnd() {},
      onResponseError: (_, error) => errors.push(error),
    };
    client.dispatch({ path: "/", method: "GET" }, handler);
    const reason = new Error("frozen");
    expect(freeze(client, reason)).toBe(true);
    expect(errors).toEqual([reason]);
    client.dispatch({ path: "/", method: "POST" }, handler);
    expect(errors).toEqual([reason, reason]);
  });

  it("says so where undici is not what it was", () => {
    expect(freeze(new EventEmitter() as unknown as Client, new Error())).toBe(false);
    expect(connectNow(new EventEmitter() as unknown as Client, undefined)).toBe(false);
  });
});
