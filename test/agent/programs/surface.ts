/**
 * Does over an installed agent what fetch and WebSocket can do, in each way that a program comes by them, and prints
 * the results. Written for Node 22 as well: no `using`.
 */
import * as undici from "undici";
import { BalancerAgent } from "../../../src/index.ts";

interface Places {
  readonly orders: readonly string[];
  readonly users: readonly string[];
  readonly outside: string;
}

/** What belongs to one fetch: undici's takes only its own. */
type Classes = Pick<typeof globalThis, "FormData" | "Request">;

const { orders, users, outside } = JSON.parse(process.argv[2] as string) as Places;
const slots = [1, 2].map((version) => Symbol.for(`undici.globalDispatcher.${version}`));
const globals = globalThis as unknown as Record<symbol, unknown>;

const before = slots.map((slot) => globals[slot]);
const agent = new BalancerAgent({
  services: { orders: { discovery: orders }, "users:8443": { discovery: users } },
});
await agent.ready();
const uninstall = agent.install();
const report = {
  node: process.version,
  builtIn: await useFetch(fetch, globalThis),
  undici: await useFetch(undici.fetch as unknown as typeof fetch, undici as unknown as Classes),
  // Missing in the types of the built-in fetch.
  dispatcher: await useFetch(
    (url, init) => fetch(url, { ...init, dispatcher: agent } as RequestInit),
    globalThis,
  ),
  agent: await useFetch(agent.fetch, globalThis),
  builtInSocket: await talk(new WebSocket("ws://orders/socket")),
  undiciSocket: await talk(new undici.WebSocket("ws://orders/socket", { dispatcher: agent })),
  outsideSocket: await talk(new WebSocket(`${outside.replace("http", "ws")}/socket`)),
  services: [...agent.services.keys()],
  restored: false,
  afterwards: "",
};
uninstall();
report.restored = slots.every((slot, index) => globals[slot] === before[index]);
await agent.close();
report.afterwards = await (await fetch(`${outside}/after`)).text();
console.log(JSON.stringify(report));
// The dispatcher that was there before keeps its connection for some seconds; the agent must not add to that.
await undici.getGlobalDispatcher().close();

async function useFetch(
  fetch: typeof globalThis.fetch,
  { FormData, Request }: Classes,
): Promise<Record<string, unknown>> {
  const text = async (url: string, init?: RequestInit) => await (await fetch(url, init)).text();
  const failure = (promise: Promise<unknown>) =>
    promise.then(
      () => "no error",
      (error: Error) => error.name,
    );
  const json = await fetch("http://orders/echo", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ id: 42 }),
  });
  const form = new FormData();
  form.append("text", "söme");
  form.append("file", new Blob(["content"], { type: "text/plain" }), "name.txt");
  const sent = await fetch("http://orders/echo", { method: "POST", body: form });
  const back = await sent.formData();
  const aborting = new AbortController();
  setTimeout(() => aborting.abort(), 30);
  const upload = new ReadableStream({
    async start(controller) {
      for (const part of ["a", "b", "c"]) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        controller.enqueue(new TextEncoder().encode(part));
      }
      controller.close();
    },
  });
  const redirected = await fetch("http://orders/to-users");
  return {
    get: await text("http://orders/v1?x=1"),
    request: await (
      await fetch(
        new Request("http://orders/echo", {
          method: "PUT",
          body: "put",
          signal: AbortSignal.timeout(10_000),
        }),
      )
    ).text(),
    users: await text("http://users:8443/v1"),
    outside: await text(`${outside}/v1`),
    status: json.status,
    json: await json.json(),
    gzip: await text("http://orders/gzip"),
    form: [back.get("text"), await (back.get("file") as File).text(), (back.get("file") as File).name],
    aborted: await failure(text("http://orders/hang", { signal: aborting.signal })),
    timedOut: await failure(text("http://orders/hang", { signal: AbortSignal.timeout(30) })),
    upload: await text("http://orders/echo", { method: "POST", body: upload, duplex: "half" } as RequestInit),
    download: await download(fetch),
    redirected: [redirected.redirected, redirected.url, await redirected.text()],
    redirectedOut: await text("http://orders/to-outside"),
  };
}

/** The server sends the second part only once the first one has arrived here. */
async function download(fetch: typeof globalThis.fetch): Promise<string[]> {
  const response = await fetch("http://orders/stream");
  const decoder = new TextDecoder();
  const parts: string[] = [];
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    parts.push(decoder.decode(chunk));
    if (parts.length === 1) await (await fetch("http://orders/release")).text();
  }
  return parts;
}

function talk(socket: WebSocket | undici.WebSocket): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "nothing";
    const target = socket as WebSocket;
    target.addEventListener("open", () => target.send("hello"));
    target.addEventListener("message", ({ data }) => {
      answer = String(data);
      target.close();
    });
    target.addEventListener("close", () => resolve(answer));
    target.addEventListener("error", (event) =>
      reject((event as ErrorEvent).error ?? new Error("socket failed")),
    );
  });
}
