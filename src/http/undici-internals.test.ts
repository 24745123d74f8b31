/** Holds undici to what is taken from inside its Client: whoever updates it sees here first that something has moved. */
import { EventEmitter } from "node:events";
import { constants } from "node:http2";
import type { Socket } from "node:net";
import { Client, type Dispatcher } from "undici";
import { describe, expect, it } from "vitest";
import { connectNow, dropStrayStreams, freeze } from "./undici-internals.ts";

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

describe("dropStrayStreams", () => {
  it("cancels a stream that comes unasked, and hears its error so that nobody has to", () => {
    const session = new EventEmitter();
    const socket = { [Symbol("http2Session")]: session };
    dropStrayStreams(socket as unknown as Socket);
    const codes: number[] = [];
    const stray = Object.assign(new EventEmitter(), { close: (code: number) => codes.push(code) });
    session.emit("stream", stray);
    expect(codes).toEqual([constants.NGHTTP2_CANCEL]);
    // An error that nobody hears is thrown.
    expect(stray.emit("error", new Error("the session has ended"))).toBe(true);
  });

  it("leaves a connection alone that is no HTTP/2 session", () => {
    expect(() => dropStrayStreams({} as Socket)).not.toThrow();
  });
});
