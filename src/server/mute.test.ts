/** Tests that an answer which was given without its handler takes what comes late without a word. */
import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { expect, it } from "vitest";
import { mute } from "./mute.ts";

it("drops headers, writes and ends, and calls back", async () => {
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  response.writeHead(504).end("late");
  expect(() => response.setHeader("x", "1")).toThrow(/after they are sent/);
  mute(response);
  expect(response.setHeader("x", "1").writeHead(200)).toBe(response);
  response.flushHeaders();
  response.appendHeader("x", "2");
  response.removeHeader("x");
  expect(await new Promise((resolve) => response.write("more", "utf8", resolve))).toBeUndefined();
  expect(response.write("more")).toBe(true);
  await new Promise<void>((resolve) => response.end(resolve));
  expect(response.statusCode).toBe(504);
});

it("has sent no headers for whoever comes late, and has for those who hear its end", () => {
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  response.writeHead(504).end("late");
  mute(response);
  expect(response.headersSent).toBe(false);
  const heard: boolean[] = [];
  response.once("finish", () => heard.push(response.headersSent));
  response.once("finish", () => {
    throw new Error("broken log");
  });
  expect(() => response.emit("finish")).toThrow("broken log");
  expect(heard).toEqual([true]);
  expect(response.headersSent).toBe(false);
});

it("is destroyed with its connection, and not by whoever comes late", () => {
  const socket = new Socket();
  const response = new ServerResponse(new IncomingMessage(socket));
  response.writeHead(504).end("late");
  mute(response, socket);
  expect(response.destroy(new Error("aborted")).destroyed).toBe(false);
  socket.destroy();
  expect(response.destroy().destroyed).toBe(true);
});
